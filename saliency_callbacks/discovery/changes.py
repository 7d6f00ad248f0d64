"""What puts a discovered cue into an input: pasted pixels, an overlay, noise, another size, a shifted property.

Each is a small value of tensors, numbers and strings, so that it can be stored; :meth:`Change.to_cue` makes of it a cue
that :class:`~saliency_callbacks.callbacks.cue.alarm.CueAlarm` takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.config.nested import describe
from saliency_callbacks.cues.basic import FunctionCue
from saliency_callbacks.cues.pictures import ImageCue
from saliency_callbacks.functional.images.properties import shift_property
from saliency_callbacks.functional.images.resampling import through_smaller, widened
from saliency_callbacks.functional.images.spectrum import tiled

__all__ = ["AddedNoise", "Change", "OtherSize", "Overlay", "PastedPixels", "ShiftedProperty"]

_HALF = 0.5


class Change(Protocol):
    """Puts a cue into inputs."""

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """Return inputs of the same shape with the cue."""

    def to_cue(self, name: str) -> Any:
        """Return the same as a cue that :class:`~saliency_callbacks.callbacks.cue.alarm.CueAlarm` takes."""


@dataclass(frozen=True, eq=False)
class PastedPixels:
    """Pixels at a fixed place.

    Args:
        pixels: ``[C, h, w]`` in [0, 1].
        mask: Which of them are pasted, bool ``[h, w]``.
        top: Row of the first one.
        left: Column of the first one.
        size: Height and width to which they are enlarged first; ``None`` where they are pasted as they are.

    Example:
        >>> PastedPixels(torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), 0, 1)(torch.zeros(1, 1, 1, 2))
        tensor([[[[0., 1.]]]])
    """

    pixels: Tensor
    mask: Tensor
    top: int
    left: int
    size: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({describe(self.pixels)}, top={self.top}, left={self.left})"

    def __call__(self, images: Tensor) -> Tensor:
        """Paste the pixels into images ``[N, C, H, W]``."""
        pixels, mask = self.enlarged()
        height, width = mask.shape
        rows, columns = slice(self.top, self.top + height), slice(self.left, self.left + width)
        pasted = images.clone()
        mask, pixels = mask.to(images.device), pixels.to(images)
        pasted[:, :, rows, columns] = torch.where(mask, pixels, images[:, :, rows, columns])
        return pasted

    def to_cue(self, name: str) -> Any:
        """Return an :class:`~saliency_callbacks.probe.ImageCue`, or a function's for other than 1 or 3 channels."""
        if len(self.pixels) not in (1, 3):
            return FunctionCue(self, name=name)
        pixels, mask = self.enlarged()
        picture = torch.cat([pixels, mask[None].to(pixels)])
        return ImageCue(picture, (self.top, self.left, *mask.shape), name=name)

    def enlarged(self) -> tuple[Tensor, Tensor]:
        """Return pixels and mask at the size at which they are pasted."""
        if self.size is None:
            return self.pixels, self.mask
        mask = F.interpolate(self.mask[None, None].float(), size=self.size, mode="nearest-exact")[0, 0]
        return _at_size(self.pixels, self.size), mask > 0

    def reduced(self, most: int) -> PastedPixels:
        """Return the same of at most ``most`` pixels, which are enlarged before they are pasted."""
        height, width = self.mask.shape
        size = _reduced_size((height, width), most)
        if size == (height, width):
            return self
        # Of pixels that are pasted alone: what is beside them must not shine through.
        weight = _averaged(self.mask[None].float(), size)
        pixels = _averaged(self.pixels * self.mask, size) / weight.clamp(min=torch.finfo(torch.float32).tiny)
        return PastedPixels(_rounded(pixels), weight[0] >= _HALF, self.top, self.left, self.size or (height, width))


@dataclass(frozen=True, eq=False)
class Overlay:
    r"""A mark that is laid over images at a fixed place, opaque, translucent, or purely additive.

    .. math:: x' = (1 - \alpha) x + a

    Args:
        added: What is added, a; for a colored mark, its color times :math:`\alpha`, ``[C, H, W]``. One that is
            smaller than the images is enlarged to their size.
        opacity: :math:`\alpha`, in [0, 1], ``[H, W]``.

    Example:
        >>> half_white = Overlay(torch.tensor([[[0.0, 0.5]]]), torch.tensor([[0.0, 0.5]]))
        >>> half_white(torch.full((1, 1, 1, 2), 0.5))
        tensor([[[[0.5000, 0.7500]]]])
    """

    added: Tensor
    opacity: Tensor

    def __repr__(self) -> str:
        return f"{type(self).__name__}({describe(self.added)})"

    def __call__(self, images: Tensor) -> Tensor:
        """Lay the mark over images ``[N, C, H, W]``, kept in [0, 1]."""
        added, opacity = (_at_size(one, images.shape[2:]).to(images) for one in (self.added, self.opacity[None]))
        return ((1 - opacity) * images + added).clamp(0, 1)

    def reduced(self, most: int) -> Overlay:
        """Return the same of at most ``most`` pixels."""
        height, width = self.opacity.shape
        size = _reduced_size((height, width), most)
        if size == (height, width):
            return self
        added, opacity = (_rounded(_averaged(one, size)) for one in (self.added, self.opacity[None]))
        return Overlay(added, opacity[0])

    def to_cue(self, name: str) -> Any:
        """Return a :class:`~saliency_callbacks.probe.FunctionCue`."""
        return FunctionCue(self, name=name)


@dataclass(frozen=True, eq=False)
class ShiftedProperty:
    """A property of the whole image, such as its brightness, moved by an amount.

    Args:
        name: Which one, see :data:`~saliency_callbacks.functional.images.properties.PROPERTIES`.
        amount: How far, in the property's unit.

    Example:
        >>> round(ShiftedProperty("brightness", 0.25)(torch.full((1, 1, 4, 4), 0.5)).mean().item(), 2)
        0.75
    """

    name: str
    amount: float

    def __call__(self, images: Tensor) -> Tensor:
        """Shift the property of images ``[N, C, H, W]``, kept in [0, 1]."""
        return shift_property(images, self.name, self.amount)

    def to_cue(self, name: str) -> Any:
        """Return a :class:`~saliency_callbacks.probe.FunctionCue`."""
        return FunctionCue(self, name=name)


@dataclass(frozen=True, eq=False)
class AddedNoise:
    """Noise, or a fine texture, that is added to the whole image.

    Args:
        tile: ``[C, h, w]``, repeated over the image.

    Example:
        >>> AddedNoise(torch.tensor([[[0.25, -0.25]]]))(torch.full((1, 1, 1, 4), 0.5))
        tensor([[[[0.7500, 0.2500, 0.7500, 0.2500]]]])
    """

    tile: Tensor

    def __repr__(self) -> str:
        return f"{type(self).__name__}({describe(self.tile)})"

    def __call__(self, images: Tensor) -> Tensor:
        """Add the noise to images ``[N, C, H, W]``, kept in [0, 1]."""
        return (images + tiled(self.tile, *images.shape[2:]).to(images)).clamp(0, 1)

    def to_cue(self, name: str) -> Any:
        """Return a :class:`~saliency_callbacks.probe.FunctionCue`."""
        return FunctionCue(self, name=name)


@dataclass(frozen=True, eq=False)
class OtherSize:
    """Another size or aspect ratio of the stored image, as it shows in the image that was resized from it.

    Args:
        name: ``"size"`` or ``"aspect"``.
        amount: Logarithm of the factor: of the pixels, or of width over height. More pixels than there were change
            nothing.

    Example:
        >>> import math
        >>> OtherSize("size", -2 * math.log(2))(torch.eye(2)[None, None])
        tensor([[[[0.5000, 0.5000],
                  [0.5000, 0.5000]]]])
    """

    name: str
    amount: float

    def __call__(self, images: Tensor) -> Tensor:
        """Return images ``[N, C, H, W]`` as if they had been stored in another size."""
        if self.name == "size":
            return through_smaller(images, math.exp(self.amount / 2)).clamp(0, 1)
        return widened(images, math.exp(self.amount)).clamp(0, 1)

    def to_cue(self, name: str) -> Any:
        """Return a :class:`~saliency_callbacks.probe.FunctionCue`."""
        return FunctionCue(self, name=name)


def _at_size(values: Tensor, size: Sequence[int]) -> Tensor:
    """Return values ``[C, h, w]`` enlarged to ``[C, *size]``."""
    if list(values.shape[1:]) == list(size):
        return values
    return F.interpolate(values[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def _averaged(values: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(values[None].float(), size=tuple(size), mode="area")[0]


def _reduced_size(size: tuple[int, int], most: int) -> tuple[int, int]:
    height, width = size
    factor = min(1.0, math.sqrt(most / (height * width)))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _rounded(values: Tensor) -> Tensor:
    """Return values as a checkpoint rounds them, so that a resumed run goes on with the same."""
    return values.half().float()
