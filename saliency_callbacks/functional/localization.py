"""How much of a map lies in a region.

Maps are non-negative ``[N, *spatial]``. A map that is all zero, or has a negative or non-finite value, and an empty
region give NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.maps import distribution
from saliency_callbacks.functional.precision import score_dtype

__all__ = ["region_lift", "region_mass"]


def region_mass(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map inside its region, Σ_M R / ΣR; also called energy-based pointing game.

    Args:
        maps: Non-negative maps R, ``[N, *spatial]``.
        masks: Regions M of the same shape, bool, or a share of each pixel in [0, 1].

    Returns:
        ``[N]`` in [0, 1].

    Raises:
        ConfigurationError: If the shapes differ.

    Reference:
        Wang et al. 2020, arXiv 1910.01279 (energy-based pointing game).

    Example:
        >>> region_mass(torch.tensor([[1.0, 3.0, 0.0, 0.0]]), torch.tensor([[False, True, False, False]]))
        tensor([0.7500])
    """
    inside, size = _inside(maps, masks)
    return torch.where(size > 0, inside, torch.nan).to(score_dtype(maps))


def region_lift(maps: Tensor, masks: Tensor) -> Tensor:
    """Return how many times more of the map lies in the region than in one of its size on average: mass / (|M| / P).

    Args:
        maps: Non-negative maps R of P elements, ``[N, *spatial]``.
        masks: Regions M of the same shape, bool, or a share of each pixel in [0, 1].

    Returns:
        ``[N]`` in [0, P / |M|]; 1 for a map that ignores the region.

    Raises:
        ConfigurationError: If the shapes differ.

    Example:
        >>> region_lift(torch.tensor([[1.0, 3.0, 0.0, 0.0]]), torch.tensor([[False, True, False, False]]))
        tensor([3.])
    """
    inside, size = _inside(maps, masks)
    return torch.where(size > 0, inside / size, torch.nan).to(score_dtype(maps))


def _inside(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of each map inside its mask, and the share |M| / P of all elements that the mask covers."""
    if masks.shape != maps.shape:
        raise ConfigurationError(
            f"masks have shape {tuple(masks.shape)} but maps have shape {tuple(maps.shape)}; "
            "give one mask for each map, at the same resolution and without a channel dimension"
        )
    shares = distribution(maps).flatten(1)
    regions = masks.to(shares.dtype).flatten(1)
    return (shares * regions).sum(dim=1), regions.mean(dim=1)
