"""Noise with the spectrum that some images have more of than others: of a grating the grating, of white noise white."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["noise_like", "tiled"]

_SIDE = 64
"""Largest side of a tile of noise in pixels, which keeps its spectrum fine enough and what is stored small."""

_FINEST = 0.25
"""Cycles per pixel, in one direction at least, of what is noise rather than detail."""

_LEAST_Z = 4.0


def noise_like(more: Tensor, less: Tensor, generator: torch.Generator) -> Tensor | None:
    r"""Return noise with the fine detail that images have more of than others.

    Each wave whose power stands out is drawn with its excess of power and a random phase, which the channels share:

    .. math:: n_c = \mathcal F^{-1} \sqrt{\max(0, \bar P_c - \bar P'_c)} \, e^{i \varphi}

    Args:
        more: ``[N, C, H, W]``, N ≥ 2.
        less: ``[M, C, H, W]``, M ≥ 2.
        generator: Of the phases.

    Returns:
        A tile ``[C, h, w]`` of at most 64×64 pixels with mean 0 that can be repeated without a seam, as strong as it is
        in the images; ``None`` where no wave stands out.

    Example:
        >>> images = torch.rand(20, 1, 32, 32)
        >>> stripes = torch.cos(torch.pi * torch.arange(32.0))
        >>> noise_like(images + stripes, images, torch.Generator()).shape
        torch.Size([1, 32, 32])
    """
    height, width = (min(_SIDE, side) for side in more.shape[2:])
    ours, theirs = (_log_power(images, height, width) for images in (more, less))
    error = (ours.var(dim=0) / len(ours) + theirs.var(dim=0) / len(theirs)).sqrt().clamp(min=1e-6)
    stands_out = ((ours.mean(dim=0) - theirs.mean(dim=0)) / error > _LEAST_Z) & _is_fine(height, width)
    if not stands_out.any():
        return None
    excess = (ours.exp().mean(dim=0) - theirs.exp().mean(dim=0)).clamp(min=0) * stands_out
    phase = torch.fft.rfft2(torch.randn(height, width, generator=generator))
    noise: Tensor = torch.fft.irfft2(excess.sqrt() * phase / phase.abs().clamp(min=1e-6), s=(height, width))
    return noise


def tiled(noise: Tensor, height: int, width: int) -> Tensor:
    """Return a tile ``[C, h, w]`` repeated over ``[C, height, width]``.

    Example:
        >>> tiled(torch.tensor([[[0, 1]]]), 1, 5)
        tensor([[[0, 1, 0, 1, 0]]])
    """
    down, across = -(-height // noise.shape[1]), -(-width // noise.shape[2])
    return noise.repeat(1, down, across)[:, :height, :width]


def _log_power(images: Tensor, height: int, width: int) -> Tensor:
    """Return the logarithm of the power of each wave in a tile of each image, ``[N, C, h, w // 2 + 1]``."""
    tiles = images.float()[:, :, :height, :width]
    centered = tiles - tiles.mean(dim=(2, 3), keepdim=True)
    power: Tensor = torch.fft.rfft2(centered).abs().square()
    return power.clamp(min=1e-8).log()


def _is_fine(height: int, width: int) -> Tensor:
    rows, columns = torch.fft.fftfreq(height).abs(), torch.fft.rfftfreq(width)
    return torch.maximum(rows[:, None], columns) >= _FINEST
