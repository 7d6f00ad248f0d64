"""How concentrated a map is.

Maps are non-negative, ``[N, *spatial]`` with P elements. A map that is all zero, or has a negative or non-finite value,
gives NaN.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from saliency_callbacks.functional.maps import distribution
from saliency_callbacks.functional.precision import score_dtype
from saliency_callbacks.functional.sorting import ascending

__all__ = ["entropy", "gini"]


def entropy(maps: Tensor) -> Tensor:
    """Return the normalized Shannon entropy -Σ p log p / log P of p = R / ΣR.

    Args:
        maps: Non-negative maps ``[N, *spatial]``.

    Returns:
        ``[N]`` in [0, 1]: 0 if one element holds everything, 1 if all are equal. NaN for a map of one element, too.

    Example:
        >>> entropy(torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]]))
        tensor([1.0000, 0.5000, 0.0000])
    """
    shares = distribution(maps).flatten(1)
    surprise = (-torch.xlogy(shares, shares)).sum(dim=1)
    return (surprise / math.log(shares.shape[1])).clamp(0, 1).to(score_dtype(maps))


def gini(maps: Tensor) -> Tensor:
    """Return the Gini index 1 - 2 Σ_k p_(k) (P - k + ½) / P of the ascending shares p_(1) ≤ … ≤ p_(P).

    Args:
        maps: Non-negative maps ``[N, *spatial]``.

    Returns:
        ``[N]`` in [0, 1 - 1/P]: 0 if all elements are equal, 1 - 1/P if one element holds everything.

    Reference:
        Hurley and Rickard 2009, arXiv 0811.4706, Table I.

    Example:
        >>> gini(torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 5.0, 0.0]]))
        tensor([0.0000, 0.7500])
    """
    # Sorted before it is widened to float64, which takes half the time.
    shares = distribution(ascending(maps.flatten(1)))
    count = shares.shape[1]
    above = torch.arange(count - 0.5, 0, -1, dtype=shares.dtype, device=shares.device)
    return (1 - 2 * (shares * above / count).sum(dim=1)).clamp(0, 1).to(score_dtype(maps))
