"""How concentrated the maps are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from saliency_callbacks.functional.concentration import entropy, gini
from saliency_callbacks.functional.maps import degenerate
from saliency_callbacks.functional.positions import spread_positions
from saliency_callbacks.types import Attribution

__all__ = ["MOST_SCORED", "concentration"]

MOST_SCORED = 256 * 256
"""Of larger maps this many positions are looked at, spread over all of the map."""

_FEWEST_SEEN = 1024
"""Of a map of which fewer of these are above 0, all positions are looked at."""


def concentration(attribution: Attribution) -> dict[str, Tensor]:
    """Return ``entropy`` and ``gini`` of every sample's map, each ``[N]`` in [0, 1].

    Entropy is 1 for a map that is the same everywhere and 0 for a single position; the Gini index runs the other way.
    NaN where a map is all zero, constant or not finite: it shows nothing, however evenly. Where only some positions
    count, both are of these alone. Of maps of more than 256 × 256 positions both are estimated from 65,536 of them,
    except where a map is so sparse that a sample would miss what it shows.
    """
    if attribution.counted is not None:
        return _of_counted(attribution.magnitude, attribution.counted)
    magnitude = attribution.magnitude
    shows_nothing = degenerate(magnitude)
    found = _of_all(magnitude) if magnitude[0].numel() <= MOST_SCORED else _of_most(magnitude, ~shows_nothing)
    return {name: values.masked_fill(shows_nothing, math.nan) for name, values in found.items()}


def _of_all(magnitude: Tensor) -> dict[str, Tensor]:
    return {"entropy": entropy(magnitude), "gini": gini(magnitude)}


def _of_most(magnitude: Tensor, is_usable: Tensor) -> dict[str, Tensor]:
    """Return both of maps of very many positions; of those that are not usable, anything."""
    flat = magnitude.flatten(1)
    total = flat.shape[1]
    seen = flat[:, spread_positions(total, MOST_SCORED).to(flat.device)]
    # What a map lacks of the entropy of an even one, in nats, does not depend on the number of positions.
    missing = (1 - entropy(seen)) * (math.log(MOST_SCORED) / math.log(total))
    found = {"entropy": 1 - missing, "gini": gini(seen)}
    is_sparse = is_usable & ((seen > 0).sum(dim=1) < _FEWEST_SEEN)
    if not is_sparse.any():
        return found
    exact = _of_all(flat[is_sparse])
    return {name: values.masked_scatter(is_sparse, exact[name]) for name, values in found.items()}


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
