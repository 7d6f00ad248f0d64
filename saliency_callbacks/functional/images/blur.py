"""Gaussian blur, and the bands of detail between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["detail_bands", "gaussian_blur"]

_REACH = 3
"""Standard deviations up to which the kernel is not cut off."""


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    r"""Blur images with a Gaussian kernel, :math:`k(u) \propto \exp(-u^2 / 2 \sigma^2)`; edges are repeated.

    Args:
        images: ``[N, C, H, W]``.
        sigma: Standard deviation in pixels; 0 leaves the images as they are.

    Raises:
        ConfigurationError: If ``sigma`` is negative.

    Example:
        >>> gaussian_blur(torch.ones(1, 1, 2, 2), sigma=1.0).allclose(torch.ones(1, 1, 2, 2))
        True
    """
    if not sigma >= 0:
        raise ConfigurationError(f"sigma={sigma} is negative; give a standard deviation in pixels, 0 for no blur")
    if sigma == 0:
        return images
    down, across = (_kernel(size, sigma).to(images) for size in images.shape[2:])
    return down @ images @ across.T


def _kernel(size: int, sigma: float) -> Tensor:
    """Return the blur of a line of pixels as a matrix ``[size, size]``; products of matrices are what is fast."""
    reach = max(1, round(_REACH * sigma))
    steps = torch.arange(-reach, reach + 1)
    weights = (-steps.double().square() / (2 * sigma**2)).exp()
    weights = weights / weights.sum()
    rows = torch.arange(size)[:, None]
    columns = (rows + steps).clamp(0, size - 1)
    return torch.zeros(size, size, dtype=torch.double).index_put(
        (rows.expand_as(columns), columns), weights.expand(size, -1), accumulate=True
    )


def detail_bands(images: Tensor, sigmas: Sequence[float] = (0, 1, 2, 4)) -> Iterator[Tensor]:
    """Yield the detail between each two blurs of images: differences of Gaussians, ``[N, C, H, W]`` each.

    Args:
        images: ``[N, C, H, W]``.
        sigmas: Standard deviations in pixels, from fine to coarse.

    Example:
        >>> bands = list(detail_bands(torch.rand(1, 1, 8, 8)))
        >>> len(bands), bands[0].shape
        (3, torch.Size([1, 1, 8, 8]))
    """
    finer = gaussian_blur(images, sigmas[0])
    for sigma in sigmas[1:]:
        coarser = gaussian_blur(images, sigma)
        yield finer - coarser
        finer = coarser
