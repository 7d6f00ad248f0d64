"""How many samples of each class bear a candidate."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.functional.groups.skew import fisher_p_value

__all__ = ["share", "skew_of"]

_FEWEST = 16
"""A class with fewer samples that count is tested together with others: alone it could hardly refute anything."""


def share(bears: Tensor, members: Tensor) -> float:
    """Return the share of some samples that bear it.

    Args:
        bears: Which samples do, bool ``[N]``.
        members: Positions of those that are asked for.
    """
    return float(bears[members].double().mean())


def skew_of(bears: Tensor, may_bear: Tensor, samples: Samples, index: int) -> tuple[float, float]:
    """Return how much more often class c bears a candidate than any other, and the p-value of that, not corrected.

    Args:
        bears: Which samples bear it, bool ``[N]``.
        may_bear: Which samples of other classes count as if they did; no fewer.
        samples: What is searched; only those that count are looked at.
        index: The class c.

    Returns:
        The share of c minus the largest other share, and the largest one-sided p-value of Fisher's exact test against
        another class, or against several of few samples.
    """
    own = samples.of_class(index, samples.counts)
    others = [samples.of_class(other, samples.counts) for other in samples.classes if other != index]
    skew = share(bears, own) - max(share(may_bear, members) for members in others)
    groups = _large_enough(others)
    bearing = torch.tensor([int(bears[members].sum()) for members in groups])
    sizes = torch.tensor([len(members) for members in groups])
    p_values = fisher_p_value(bears[own].sum(), torch.tensor(len(own)), bearing, sizes)
    return skew, float(p_values.max())


def _large_enough(classes: list[Tensor]) -> list[Tensor]:
    """Return the positions of each class, those of few samples together with the next larger one."""
    groups: list[Tensor] = []
    waiting: list[Tensor] = []
    for members in sorted(classes, key=len):
        waiting.append(members)
        if sum(map(len, waiting)) >= _FEWEST:
            groups.append(torch.cat(waiting))
            waiting = []
    if waiting:
        groups[-1:] = [torch.cat([*groups[-1:], *waiting])]
    return groups
