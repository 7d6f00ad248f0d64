"""What takes the place of positions that are removed: colors of their surroundings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from saliency_callbacks.functional.images.blur import gaussian_blur

__all__ = ["blurred", "inpainted"]

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
_BLUR = 0.1
"""Standard deviation of the blur as a share of each side: nothing smaller than that is left to be recognized."""


def blurred(samples: Tensor) -> Tensor:
    """Return samples without detail: with a Gaussian blur whose standard deviation is a tenth of each side.

    Args:
        samples: ``[N, C, *spatial]`` with 1 to 3 spatial dimensions.

    Example:
        >>> blurred(torch.ones(1, 1, 4, 4)).allclose(torch.ones(1, 1, 4, 4))
        True
    """
    return gaussian_blur(samples, [_BLUR * length for length in samples.shape[2:]])


def inpainted(samples: Tensor, missing: Tensor) -> Tensor:
    """Return samples whose missing positions are filled from what is left around them.

    Known values are averaged over blocks of 2, 4, 8, … positions until no block is without one; from the coarsest down,
    what is missing is interpolated from the next coarser blocks (pull and push). Unlike a flat color, this stays close
    to the data: what a random half of the pixels told can mostly be restored, what a region told cannot. Where nothing
    is left of a sample, its mean takes the place.

    Args:
        samples: ``[N, C, *spatial]`` with 1 to 3 spatial dimensions.
        missing: Bool ``[N, *spatial]``.

    Returns:
        The same shape; positions that are not missing have their very bits.

    Reference:
        Gortler et al. 1996, "The Lumigraph", §3.4 (pull and push); Rong et al. 2022, arXiv 2202.00449 (why removed
        pixels are in-painted).

    Example:
        >>> inpainted(torch.tensor([[[1.0, 9.0, 3.0, 3.0]]]), torch.tensor([[False, True, False, False]]))[0, 0, 1]
        tensor(1.5000)
    """
    known = ~missing[:, None]
    spatial = tuple(range(2, samples.ndim))
    mean = samples.mean(dim=spatial, keepdim=True)
    return torch.where(known, samples, _filled(samples.masked_fill(~known, 0), known.to(samples.dtype), mean))


def _filled(values: Tensor, weight: Tensor, mean: Tensor) -> Tensor:
    """Return values ``[N, C, *spatial]`` that are known everywhere; those with weight 0 are 0."""
    size = values.shape[2:]
    if max(size) == 1 or bool((weight > 0).all()):
        return torch.where(weight > 0, values, mean)
    smaller = [(length + 1) // 2 for length in size]
    pooled, share = _halved(values, smaller), _halved(weight, smaller)
    has_any = share > 0
    coarse = _filled(pooled / share.masked_fill(~has_any, 1), has_any.to(values.dtype), mean)
    finer = F.interpolate(coarse, size=size, mode=_MODES[len(size)], align_corners=False)
    return torch.where(weight > 0, values, finer)


def _halved(values: Tensor, size: list[int]) -> Tensor:
    """Return the mean of each block of two positions along every axis; the last one has one where they are odd."""
    odd = [pad for length in reversed(values.shape[2:]) for pad in (0, length % 2)]
    dimensions = len(size)
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[dimensions]
    # Padding is unknown: it has weight 0, as all that is divided by the pooled weight.
    return pool(F.pad(values, odd), 2)
