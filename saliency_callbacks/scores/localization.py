"""How much of the maps lies in a region of interest."""

from __future__ import annotations

from torch import Tensor

from saliency_callbacks.functional.localization import region_lift, region_mass
from saliency_callbacks.types import Attribution

__all__ = ["localization"]


def localization(attribution: Attribution, masks: Tensor) -> dict[str, Tensor]:
    """Return ``region_mass`` in [0, 1] and ``region_lift`` (1 is chance) of every sample, each ``[N]``.

    Args:
        attribution: The maps.
        masks: The region of each sample, ``[N, *spatial]``.
    """
    return {
        "region_mass": region_mass(attribution.magnitude, masks),
        "region_lift": region_lift(attribution.magnitude, masks),
    }
