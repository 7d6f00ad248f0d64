"""How much more often texts of one class bear something than those of every other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Count
from saliency_callbacks.discovery.texts.samples import TextSamples
from saliency_callbacks.functional.groups.skew import binomial_p_value, fisher_p_value

__all__ = ["N_RECIPIENTS", "PROPOSED_SKEW", "count_skewed", "shares_of", "skews"]

PROPOSED_SKEW = 0.1
"""By how much the share of class c has to exceed all others on the samples that propose, which are few."""

N_RECIPIENTS = 48
"""So many texts of other classes are changed."""

_SKEW = 0.25

_BY_NATURE = 0.1
"""Words of a topic differ by class: so much of a difference is taken for granted, and only more is counted as one."""


def skews(shares: Tensor, column: int) -> Tensor:
    """Return the share of one class minus the largest of another, ``[V]``.

    Args:
        shares: Share of each class that bears each thing, ``[V, K]``.
        column: The class.

    Example:
        >>> skews(torch.tensor([[0.5, 0.125, 0.25]]), 0)
        tensor([0.2500])
    """
    others = torch.cat([shares[:, :column], shares[:, column + 1 :]], dim=1)
    return shares[:, column] - others.amax(dim=1)


def shares_of(bears: Sequence[Tensor], samples: TextSamples) -> Tensor:
    """Return the share of each class that bears each thing, of the samples that propose, ``[V, K]``.

    Args:
        bears: Which samples bear each, bool ``[N]``.
        samples: What is searched.
    """
    members = [samples.of_class(index, samples.proposes) for index in samples.classes]
    shares = [[float(one[rows].double().mean()) for rows in members] for one in bears]
    return torch.tensor(shares, dtype=torch.float64).reshape(len(bears), len(members))


def count_skewed(bears: Tensor, class_index: int, samples: TextSamples) -> Count | None:
    """Return who bears something that one class bears more often than every other, on the samples that count.

    The p-value is the larger of two: of Fisher's exact test that the class bears it no more often than another, and of
    a binomial test that it bears it in no more than .1 of its texts above the share of the other. Of the many words of
    a topic, each of which is in a few texts of its class, some are in many of those that happen to count; the second
    test bounds that.

    Args:
        bears: Which samples bear it, bool ``[N]``.
        class_index: The class c.
        samples: What is searched.

    Returns:
        ``None`` where the share of class c is not .25 above that of every other class. Texts of a usual length are
        typical.
    """
    members = [samples.of_class(index, samples.counts) for index in samples.classes]
    bearing = torch.tensor([int(bears[one].sum()) for one in members])
    sizes = torch.tensor([len(one) for one in members])
    own = samples.classes.index(class_index)
    shares = bearing.double() / sizes.clamp(min=1)
    if float(skews(shares[None], own)) < _SKEW:
        return None
    others = torch.arange(len(sizes)) != own
    by_chance = fisher_p_value(bearing[own], sizes[own], bearing[others], sizes[others])
    by_nature = binomial_p_value(bearing[own], sizes[own], (shares[others] + _BY_NATURE).clamp(max=1))
    lengths = samples.lengths.double()
    usual = lengths[bears & (samples.labels == class_index)].median()
    return Count(bears, -(lengths - usual).abs(), float(torch.maximum(by_chance, by_nature).max()))
