"""How concentrated the maps are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from saliency_callbacks.functional.concentration import entropy, gini
from saliency_callbacks.functional.maps import degenerate
from saliency_callbacks.types import Attribution

__all__ = ["concentration"]


def concentration(attribution: Attribution) -> dict[str, Tensor]:
    """Return ``entropy`` and ``gini`` of every sample's map, each ``[N]`` in [0, 1].

    Entropy is 1 for a map that is the same everywhere and 0 for a single position; the Gini index runs the other way.
    NaN where a map is all zero, constant or not finite: it shows nothing, however evenly. Where only some positions
    count, both are of these alone.
    """
    if attribution.counted is not None:
        return _of_counted(attribution.magnitude, attribution.counted)
    magnitude = attribution.magnitude
    shows_nothing = degenerate(magnitude)
    found = {"entropy": entropy(magnitude), "gini": gini(magnitude)}
    return {name: values.masked_fill(shows_nothing, math.nan) for name, values in found.items()}


def _of_counted(magnitude: Tensor, counted: Tensor) -> dict[str, Tensor]:
    # One by one, as each sample has its own number of positions.
    samples = [one[where][None] for one, where in zip(magnitude, counted, strict=True)]
    found = {"entropy": entropy, "gini": gini}
    return {
        name: torch.cat(
            [
                magnitude.new_full((1,), math.nan) if sample.shape[1] < 2 or degenerate(sample).any() else score(sample)
                for sample in samples
            ]
        )
        for name, score in found.items()
    }
