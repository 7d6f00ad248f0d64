"""Gaussian blur, and the bands of detail between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["detail_bands", "gaussian_blur"]

_REACH = 3
"""Standard deviations up to which the kernel is not cut off."""


def gaussian_blur(images: Tensor, sigma: float | Sequence[float]) -> Tensor:
    r"""Blur images with a Gaussian kernel, :math:`k(u) \propto \exp(-u^2 / 2 \sigma^2)`; edges are repeated.

    Args:
        images: ``[N, C, *spatial]``.
        sigma: Standard deviation in pixels, of all axes or of each spatial axis; 0 leaves an axis as it is.

    Raises:
        ConfigurationError: If a ``sigma`` is negative.

    Example:
        >>> gaussian_blur(torch.ones(1, 1, 2, 2), sigma=1.0).allclose(torch.ones(1, 1, 2, 2))
        True
    """
    sizes = images.shape[2:]
    sigmas = [sigma] * len(sizes) if isinstance(sigma, int | float) else list(sigma)
    if not all(one >= 0 for one in sigmas):
        raise ConfigurationError(f"sigma={sigma} is negative; give a standard deviation in pixels, 0 for no blur")
    # Down before across: what floating point makes of a picture does not depend on how many axes there are.
    for axis, (size, one) in enumerate(zip(sizes, sigmas, strict=True), start=2):
        if one > 0:
            images = _along(images, axis, _kernel(size, one).to(images))
    return images


def _along(images: Tensor, axis: int, kernel: Tensor) -> Tensor:
    """Multiply images with a matrix ``[size, size]`` along an axis."""
    if axis == images.ndim - 1:
        return images @ kernel.T
    if axis == images.ndim - 2:
        return kernel @ images
    return (images.movedim(axis, -1) @ kernel.T).movedim(-1, axis)


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
