"""Properties of whole images, such as brightness or sharpness: how they are measured, and how they are shifted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.images.blur import gaussian_blur

__all__ = ["PROPERTIES", "ImageProperty", "shift_property"]

_N_CELLS = 4
_SIDE = 8
_BORDERS = 16
"""How many times the width of the border fits into the image."""

_DARKEST = 3
"""Which of the 64 values of a cell, from dark to bright, stands for its shadows."""

_BLOCK = 8
"""Side of the blocks that JPEG compresses, in pixels."""

_FLOOR = 1e-3
"""What is added to an energy before its logarithm, about a third of an 8-bit step."""

_N_BISECTIONS = 12


@dataclass(frozen=True)
class ImageProperty:
    """A property of images ``[N, C, H, W]`` in [0, 1].

    Args:
        measure: ``images -> values [N, 4, 4]``, one for each cell of a grid.
        strengthen: ``images, strength -> images`` with more of it for a positive strength and less for a negative one,
            0 for none; a strength is one number for each image, ``[N, 1, 1, 1]``.
        strongest: Bounds of the strength.
        needs_color: Whether there have to be three channels.

    Example:
        >>> PROPERTIES["brightness"].measure(torch.ones(1, 1, 8, 8)).mean().item()
        1.0
    """

    measure: Callable[[Tensor], Tensor]
    strengthen: Callable[[Tensor, Tensor], Tensor]
    strongest: tuple[float, float]
    needs_color: bool = False

    def fits(self, channels: int) -> bool:
        """Return whether images of so many channels have it."""
        return channels == 3 or not self.needs_color


def shift_property(images: Tensor, name: str, amount: float) -> Tensor:
    """Move a property of each image by an amount, as far as that is possible.

    The strength that does it is found by bisection, image by image, as what is kept in [0, 1] moves less than asked.
    An image that no strength brings closer to it is left as it is: one without blocks cannot have fewer.

    Args:
        images: ``[N, C, H, W]`` in [0, 1].
        name: One of :data:`PROPERTIES`.
        amount: How far, in the unit of the property.

    Returns:
        Images of the same shape, in [0, 1].

    Raises:
        ConfigurationError: If there is no such property, or not of so many channels.

    Example:
        >>> round(shift_property(torch.full((1, 1, 4, 4), 0.5), "brightness", 0.25).mean().item(), 2)
        0.75
    """
    known = PROPERTIES.get(name)
    if known is None or not known.fits(images.shape[1]):
        fitting = [other for other, one in PROPERTIES.items() if one.fits(images.shape[1])]
        raise ConfigurationError(
            f"images of {images.shape[1]} channels have no property {name!r}; expected one of {', '.join(fitting)}"
        )
    before = known.measure(images).mean(dim=(1, 2))
    goal = before + amount
    low, high = (0.0, known.strongest[1]) if amount >= 0 else (known.strongest[0], 0.0)
    least = images.new_full((len(images),), low)
    most = images.new_full((len(images),), high)
    for _ in range(_N_BISECTIONS):
        middle = (least + most) / 2
        is_short = known.measure(_strengthened(known, images, middle)).mean(dim=(1, 2)) < goal
        least, most = torch.where(is_short, middle, least), torch.where(is_short, most, middle)
    shifted = _strengthened(known, images, (least + most) / 2)
    is_closer = (known.measure(shifted).mean(dim=(1, 2)) - goal).abs() < (before - goal).abs()
    return torch.where(is_closer[:, None, None, None], shifted, images)


def _strengthened(known: ImageProperty, images: Tensor, strength: Tensor) -> Tensor:
    return known.strengthen(images, strength[:, None, None, None]).clamp(0, 1)


def _cells(values: Tensor) -> Tensor:
    """Return the means of values ``[N, 1, H, W]`` in the cells of a grid, ``[N, 4, 4]``."""
    return F.adaptive_avg_pool2d(values, _N_CELLS)[:, 0]


def _in_cells(values: Tensor) -> Tensor:
    """Return values ``[N, 1, H, W]`` by the cells of a grid, ``[N, 4, 4, 64]``."""
    pooled = F.adaptive_avg_pool2d(values, _N_CELLS * _SIDE).view(-1, _N_CELLS, _SIDE, _N_CELLS, _SIDE)
    return pooled.transpose(2, 3).flatten(3)


def _medians(values: Tensor) -> Tensor:
    """Return the medians in the cells of a grid, which an object moves less than means."""
    return _in_cells(values).median(dim=3).values


def _grey(images: Tensor) -> Tensor:
    return images.mean(dim=1, keepdim=True)


def _brightness(images: Tensor) -> Tensor:
    return _medians(_grey(images))


def _shadows(images: Tensor) -> Tensor:
    return _in_cells(_grey(images)).kthvalue(_DARKEST, dim=3).values


def _border(images: Tensor) -> Tensor:
    """Return how much brighter 16 pieces of the border are than the image."""
    grey = _grey(images)
    width = _border_width(images)
    sides = (grey[..., :width, :], grey[..., -width:, :], grey[..., :width].mT, grey[..., -width:].mT)
    pieces = torch.stack([F.adaptive_avg_pool2d(side, (1, _N_CELLS))[:, 0, 0] for side in sides], dim=1)
    return pieces - grey.flatten(1).median(dim=1).values[:, None, None]


def _brighten_border(images: Tensor, strength: Tensor) -> Tensor:
    width = _border_width(images)
    ring = images.new_ones(images.shape[2:])
    ring[width:-width, width:-width] = 0
    return images + strength * ring


def _border_width(images: Tensor) -> int:
    return max(1, min(images.shape[2:]) // _BORDERS)


def _contrast(images: Tensor) -> Tensor:
    grey = _grey(images)
    return (_cells((grey - grey.mean(dim=(2, 3), keepdim=True)).square()) + _FLOOR**2).sqrt()


def _saturation(images: Tensor) -> Tensor:
    return _cells(images.amax(dim=1, keepdim=True) - images.amin(dim=1, keepdim=True))


def _channel(index: int) -> Callable[[Tensor], Tensor]:
    return lambda images: _medians(images[:, index : index + 1] - _grey(images))


def _band(images: Tensor, fine: float, coarse: float) -> Tensor:
    return gaussian_blur(images, fine) - gaussian_blur(images, coarse)


def _log_energy(values: Tensor) -> Tensor:
    return (_cells(values.square().mean(dim=1, keepdim=True)).sqrt() + _FLOOR).log()


def _band_energy(fine: float, coarse: float) -> Callable[[Tensor], Tensor]:
    return lambda images: _log_energy(_band(_grey(images), fine, coarse))


def _sharpen(fine: float, coarse: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda images, strength: images + strength * _band(images, fine, coarse)


def _residual(images: Tensor) -> Tensor:
    """Return what no plane through a neighborhood of 3×3 pixels explains: noise, and the finest texture."""
    kernel = images.new_tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]) / 6
    channels = images.shape[1]
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernel.expand(channels, 1, 3, 3), groups=channels)


def _noise(images: Tensor) -> Tensor:
    # The mean absolute value, as edges are few and strong, and noise is everywhere and weak.
    return (_cells(_residual(_grey(images)).abs()) + _FLOOR).log()


def _add_noise(images: Tensor, strength: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape[1:], generator=generator).to(images)
    smooth = gaussian_blur(images, 0.7)
    return torch.where(strength >= 0, images + 0.2 * strength * noise, images - strength * (smooth - images))


def _blockiness(images: Tensor) -> Tensor:
    """Return how much larger steps between the 8×8 blocks of JPEG are than steps within them, in logarithms."""
    grey = _grey(images)
    total = grey.new_zeros(len(grey), _N_CELLS, _N_CELLS)
    for steps, axis in ((grey.diff(dim=2), 2), (grey.diff(dim=3), 3)):
        # A step counts as far as it exceeds those beside it: a ramp is no block.
        excess = steps.abs()
        places = torch.arange(excess.shape[axis]) % _BLOCK == _BLOCK - 1
        if not places.any():
            continue
        across, within = (excess.index_select(axis, at.nonzero()[:, 0].to(excess.device)) for at in (places, ~places))
        total = total + (_cells(across) + _FLOOR).log() - (_cells(within) + _FLOOR).log()
    return total / 2


def _compress(images: Tensor, strength: Tensor) -> Tensor:
    """Return images with their blocks of 8×8 pixels moved towards their means, as strong compression does."""
    height, width = images.shape[2:]
    padded = F.pad(images, (0, -width % _BLOCK, 0, -height % _BLOCK), mode="replicate")
    blocks = F.interpolate(F.avg_pool2d(padded, _BLOCK), scale_factor=_BLOCK)[:, :, :height, :width]
    return images + strength * (blocks - images)


def _around(images: Tensor) -> Tensor:
    return images.mean(dim=(1, 2, 3), keepdim=True)


def _tint(index: int) -> Callable[[Tensor, Tensor], Tensor]:
    def tinted(images: Tensor, strength: Tensor) -> Tensor:
        direction = images.new_full((images.shape[1], 1, 1), -1 / 3)
        direction[index] += 1
        return images + strength * direction

    return tinted


PROPERTIES: Mapping[str, ImageProperty] = {
    "brightness": ImageProperty(_brightness, lambda images, strength: images + strength, (-1, 1)),
    "shadows": ImageProperty(_shadows, lambda images, strength: images + strength, (-1, 1)),
    "border": ImageProperty(_border, _brighten_border, (-1, 1)),
    "contrast": ImageProperty(
        _contrast, lambda images, strength: images + strength * (images - _around(images)), (-1, 4)
    ),
    "saturation": ImageProperty(
        _saturation, lambda images, strength: images + strength * (images - _grey(images)), (-1, 4), needs_color=True
    ),
    "red": ImageProperty(_channel(0), _tint(0), (-1, 1), needs_color=True),
    "green": ImageProperty(_channel(1), _tint(1), (-1, 1), needs_color=True),
    "blue": ImageProperty(_channel(2), _tint(2), (-1, 1), needs_color=True),
    "sharpness": ImageProperty(_band_energy(0, 1), _sharpen(0, 1), (-1, 4)),
    "medium detail": ImageProperty(_band_energy(1, 2), _sharpen(1, 2), (-1, 4)),
    "coarse detail": ImageProperty(_band_energy(2, 4), _sharpen(2, 4), (-1, 4)),
    "noise": ImageProperty(_noise, _add_noise, (-1, 1)),
    "compression": ImageProperty(_blockiness, _compress, (-0.5, 0.5)),
}
"""Name → property: brightness, shadows, contrast and saturation in [0, 1]; the excess of the border over the image, and
of a channel over grey; and logarithms of the energy of detail, of noise, and of the steps between JPEG's blocks."""
