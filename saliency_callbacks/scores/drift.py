"""How far the maps have moved since an earlier observation."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.functional.maps import is_finite, signed_map
from saliency_callbacks.functional.positions import spread_positions
from saliency_callbacks.functional.ranks import rank, rank_counted
from saliency_callbacks.functional.similarity import spearman_from_ranks
from saliency_callbacks.types import Attribution

__all__ = ["MOST_RANKED", "drift", "ranks", "ranks_of_most"]

MOST_RANKED = 84 * 84
"""Of larger maps this many positions are ranked, spread over all of the map."""


def ranks(attribution: Attribution) -> Tensor:
    """Return the ranks of each sample's signed map, ``[N, P]``; all that a later drift needs.

    The signed map is the sum over the channels at every position: the effect on the score of a change that all channels
    share. Positions that do not count get the mean rank, so that they drop out of the correlation. Of a map of more
    than 84 × 84 positions, P = 7056 are ranked: a correlation of 0 is then known to ±0.012 for each sample.
    """
    values = signed_map(attribution.values)
    # A map at a layer of its own resolution has other positions than the sample.
    counted = attribution.counted if values.shape == attribution.magnitude.shape else None
    flat = values.flatten(1)
    chosen = spread_positions(flat.shape[1], MOST_RANKED).to(flat.device)
    if counted is None:
        found = rank(flat[:, chosen])
    else:
        counts = counted.flatten(1)
        found, flat = rank_counted(flat[:, chosen], counts[:, chosen]), flat.masked_fill(~counts, 0)
    # Also where what is not finite is elsewhere. Half ranks up to 2^23 are exact in float32.
    return found.masked_fill(~is_finite(flat)[:, None], torch.nan).float()


def ranks_of_most(ranked: Tensor) -> Tensor:
    """Return from the ranks of all positions, ``[N, P]``, what :func:`ranks` makes of the same maps."""
    if ranked.shape[1] <= MOST_RANKED:
        return ranked
    return rank(ranked[:, spread_positions(ranked.shape[1], MOST_RANKED)]).float()


def drift(current: Tensor, reference: Tensor) -> Tensor:
    r"""Return the drift of every sample's map, ``[N]`` in [0, 2].

    .. math:: 1 - \rho_\mathrm{Spearman}(R_\mathrm{now}, R_\mathrm{then})

    0: the same order of importance. 1: unrelated. 2: reversed. NaN where a map is constant or not finite.

    Args:
        current: Ranks now, ``[N, P]``.
        reference: Ranks then, ``[N, P]``.
    """
    return 1 - spearman_from_ranks(current, reference)
