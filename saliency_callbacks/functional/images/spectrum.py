"""Noise with the spectrum that some images have more of than others: a grating for a grating, white for white."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["noise_like", "tiled"]

_SIDE = 64
"""Largest side of a tile of noise in pixels, which keeps its spectrum fine enough and what is stored small."""

_FINEST = 0.25
"""Cycles per pixel, in one direction at least, of what is noise rather than detail."""

_LEAST_Z = 4.0
"""Of the thousands of waves of a tile hardly one is beyond it by chance."""

_TINY = 1e-8


def noise_like(more: Tensor, less: Tensor, generator: torch.Generator) -> Tensor | None:
    r"""Return noise with the fine detail that images have more of than others.

    Of each wave whose power stands out, the excess of the cross-spectrum over the channels,

    .. math:: S = \mathbb E [F F^H] - \mathbb E [F' F'^H] = V \Lambda V^H, \quad
        n = \mathcal F^{-1} V \sqrt{\max(0, \Lambda)} \, e^{i \varphi},

    gets a random phase for each of its components, so that channels go together as they do in the images.

    Args:
        more: ``[N, C, H, W]``, N ≥ 2.
        less: ``[M, C, H, W]``, M ≥ 2.
        generator: Of the phases.

    Returns:
        A tile ``[C, h, w]`` of at most 64×64 pixels with mean 0 that can be repeated without a seam, as strong as it is
        in the images; ``None`` where no wave stands out. Of larger images, tiles in the corners and the center count.

    Example:
        >>> images = torch.rand(20, 1, 32, 32)
        >>> stripes = torch.cos(torch.pi * torch.arange(32.0))
        >>> noise_like(images + stripes, images, torch.Generator()).shape
        torch.Size([1, 32, 32])
    """
    height, width = (min(_SIDE, side) for side in more.shape[2:])
    ours, theirs = (_waves(images, height, width) for images in (more, less))
    logs, usual = (waves.abs().square().mean(dim=1).clamp(min=_TINY).log() for waves in (ours, theirs))
    error = (logs.var(dim=0) / len(logs) + usual.var(dim=0) / len(usual)).sqrt().clamp(min=1e-6)
    stands_out = ((logs.mean(dim=0) - usual.mean(dim=0)) / error > _LEAST_Z).any(dim=0) & _is_fine(height, width)
    if not stands_out.any():
        return None
    excess = _cross_spectrum(ours[..., stands_out]) - _cross_spectrum(theirs[..., stands_out])
    powers, components = torch.linalg.eigh(excess)
    noise = torch.fft.rfft2(torch.randn(len(more[0]), height, width, generator=generator))[:, stands_out].T
    phases = noise / noise.abs().clamp(min=1e-6)
    found = (components * powers.clamp(min=0).sqrt()[:, None] * phases[:, None]).sum(dim=2)
    waves = torch.zeros(ours.shape[2:], dtype=found.dtype)
    waves[:, stands_out] = found.T
    tile: Tensor = torch.fft.irfft2(waves, s=(height, width))
    return tile


def tiled(noise: Tensor, height: int, width: int) -> Tensor:
    """Return a tile ``[C, h, w]`` repeated over ``[C, height, width]``.

    Example:
        >>> tiled(torch.tensor([[[0, 1]]]), 1, 5)
        tensor([[[0, 1, 0, 1, 0]]])
    """
    down, across = -(-height // noise.shape[1]), -(-width // noise.shape[2])
    return noise.repeat(1, down, across)[:, :height, :width]


def _waves(images: Tensor, height: int, width: int) -> Tensor:
    """Return the Fourier transforms of tiles of each image, ``[N, tiles, C, h, w // 2 + 1]``."""
    down, across = images.shape[2] - height, images.shape[3] - width
    corners = {(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)}
    tiles = torch.stack([images[:, :, y : y + height, x : x + width].float() for y, x in sorted(corners)], dim=1)
    waves: Tensor = torch.fft.rfft2(tiles - tiles.mean(dim=(3, 4), keepdim=True))
    return waves


def _cross_spectrum(waves: Tensor) -> Tensor:
    """Return the mean products of channels of each wave, ``[P, C, C]`` of ``[N, tiles, C, P]``."""
    by_wave = waves.flatten(0, 1).permute(2, 1, 0)
    return by_wave @ by_wave.mH / by_wave.shape[2]


def _is_fine(height: int, width: int) -> Tensor:
    rows, columns = torch.fft.fftfreq(height).abs(), torch.fft.rfftfreq(width)
    return torch.maximum(rows[:, None], columns) >= _FINEST
