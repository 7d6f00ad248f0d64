"""How concentrated the maps are."""

from __future__ import annotations

import math

from torch import Tensor

from saliency_callbacks.functional.concentration import entropy, gini
from saliency_callbacks.functional.maps import degenerate
from saliency_callbacks.types import Attribution

__all__ = ["concentration"]


def concentration(attribution: Attribution) -> dict[str, Tensor]:
    """Return ``entropy`` and ``gini`` of every sample's map, each ``[N]`` in [0, 1].

    Entropy is 1 for a map that is the same everywhere and 0 for a single place; the Gini index runs the other way.
    NaN where a map is all zero, constant or not finite: it shows nothing, however evenly.
    """
    magnitude = attribution.magnitude
    shows_nothing = degenerate(magnitude)
    found = {"entropy": entropy(magnitude), "gini": gini(magnitude)}
    return {name: values.masked_fill(shows_nothing, math.nan) for name, values in found.items()}
