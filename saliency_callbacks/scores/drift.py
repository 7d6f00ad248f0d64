"""How far the maps have moved since an earlier observation."""

from __future__ import annotations

from torch import Tensor

from saliency_callbacks.functional.maps import signed_map
from saliency_callbacks.functional.similarity import rank, rank_counted, spearman_from_ranks
from saliency_callbacks.types import Attribution

__all__ = ["drift", "ranks"]


def ranks(attribution: Attribution) -> Tensor:
    """Return the ranks of each sample's signed map, ``[N, P]``; all that a later drift needs.

    The signed map is the sum over the channels at every position: the effect on the score of a change that all channels
    share. Positions that do not count get the mean rank, so that they drop out of the correlation.
    """
    values = signed_map(attribution.values)
    # A map at a layer of its own resolution has other positions than the sample.
    counted = attribution.counted if values.shape == attribution.magnitude.shape else None
    # Half ranks up to 2^23 are exact in float32, at half the size in a checkpoint.
    ranks = rank(values.flatten(1)) if counted is None else rank_counted(values.flatten(1), counted.flatten(1))
    return ranks.float()


def drift(current: Tensor, reference: Tensor) -> Tensor:
    r"""Return the drift of every sample's map, ``[N]`` in [0, 2].

    .. math:: 1 - \rho_\mathrm{Spearman}(R_\mathrm{now}, R_\mathrm{then})

    0: the same order of importance. 1: unrelated. 2: reversed. NaN where a map is constant or not finite.

    Args:
        current: Ranks now, ``[N, P]``.
        reference: Ranks then, ``[N, P]``.
    """
    return 1 - spearman_from_ranks(current, reference)
