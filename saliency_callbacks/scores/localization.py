"""How much of the maps lies in a region of interest, and how well they find it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.localization import (
    pointing_game,
    rank_accuracy,
    region_auc,
    region_lift,
    region_mass,
)
from saliency_callbacks.types import Attribution

__all__ = ["by_group", "localization"]


def localization(attribution: Attribution, masks: Tensor) -> dict[str, Tensor]:
    """Return how each map relates to the region of its sample, each ``[N]``.

    ========================  ======  ==============================================================
    Score                     Range   What it says
    ========================  ======  ==============================================================
    ``region_mass``           [0, 1]  share of the map inside the region
    ``region_lift``           ≥ 0     that share over the region's share of the area; 1 is chance
    ``region_rank_accuracy``  [0, 1]  share of the |M| highest positions inside; chance is |M| / P
    ``region_pointing_game``  0 or 1  whether the map maximum is inside
    ``region_auc``            [0, 1]  how well the map tells inside from outside; ½ is chance
    ========================  ======  ==============================================================

    Args:
        attribution: The maps.
        masks: The region of each sample, ``[N, *spatial]``, bool or shares in [0, 1].
    """
    maps = attribution.magnitude
    return {
        "region_mass": region_mass(maps, masks),
        "region_lift": region_lift(maps, masks),
        "region_rank_accuracy": rank_accuracy(maps, masks),
        "region_pointing_game": pointing_game(maps, masks),
        "region_auc": region_auc(maps, masks),
    }


def by_group(values: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the values of each group of samples, the groups in the order in which they first occur.

    Args:
        values: One value a sample, ``[N]``.
        names: The group of each sample, N of them.

    Returns:
        Group → its values ``[n]``, in their order; the n add up to N.

    Raises:
        ConfigurationError: If there are more or fewer names than values.

    Example:
        >>> by_group(torch.tensor([0.25, 0.5, 0.75]), ["water", "land", "water"])
        {'water': tensor([0.2500, 0.7500]), 'land': tensor([0.5000])}
    """
    if values.shape != (len(names),):
        raise ConfigurationError(
            f"there are {len(names)} group names for values of shape {list(values.shape)}; give one name per value"
        )
    positions: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        positions.setdefault(name, []).append(position)
    return {name: values[torch.tensor(chosen, device=values.device)] for name, chosen in positions.items()}
