"""Whether something is more frequent in one group than in another: exact and by ranks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["binomial_p_value", "fisher_p_value", "rank_sum_p_value"]


def fisher_p_value(bearing: Tensor, size: Tensor, other_bearing: Tensor, other_size: Tensor) -> Tensor:
    r"""Return the one-sided p-value of Fisher's exact test: that so many of the first group bear it by chance.

    .. math:: p = \sum_{k \ge a} \binom{n}{k} \binom{m}{a + b - k} \Big/ \binom{n + m}{a + b}

    Args:
        bearing: How many of the first group bear it, a, ``[...]``.
        size: Size n of that group.
        other_bearing: How many of the other group do, b.
        other_size: Size m of that group.

    Returns:
        ``float64 [...]`` in [0, 1].

    Reference:
        Fisher 1922, "On the interpretation of χ² from contingency tables, and the calculation of P", JRSS 85(1).

    Example:
        >>> round(fisher_p_value(*torch.tensor([3, 3, 0, 3])).item(), 6)
        0.05
    """
    a, n, b, m = (torch.as_tensor(count).double() for count in (bearing, size, other_bearing, other_size))
    a, n, b, m = torch.broadcast_tensors(a, n, b, m)
    total = a + b
    most = torch.minimum(n, total)
    k = torch.arange(int(most.max()) + 1 if most.numel() else 1).double()
    counted = (k >= a[..., None]) & (k <= most[..., None]) & (total[..., None] - k <= m[..., None])
    rest = torch.where(counted, total[..., None] - k, 0)
    inside = torch.where(counted, k, 0)
    logs = _log_choose(n[..., None], inside) + _log_choose(m[..., None], rest) - _log_choose(n + m, total)[..., None]
    return torch.where(counted, logs, -torch.inf).logsumexp(dim=-1).exp().clamp(0, 1)


def binomial_p_value(bearing: Tensor, size: Tensor, share: Tensor) -> Tensor:
    r"""Return the one-sided p-value of the exact binomial test: that so many bear it where only a share does.

    .. math:: p = \sum_{k \ge a} \binom{n}{k} s^k (1 - s)^{n - k}

    Args:
        bearing: How many bear it, a, ``[...]``.
        size: Out of how many, n.
        share: The share s, in [0, 1].

    Returns:
        ``float64 [...]`` in [0, 1].

    Reference:
        Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial",
        Biometrika 26(4).

    Example:
        >>> binomial_p_value(torch.tensor(2), torch.tensor(2), torch.tensor(0.5)).item()
        0.25
    """
    a, n, s = torch.broadcast_tensors(*(torch.as_tensor(value).double() for value in (bearing, size, share)))
    k = torch.arange(int(n.max()) + 1 if n.numel() else 1).double()
    counted = (k >= a[..., None]) & (k <= n[..., None])
    inside = torch.where(counted, k, 0)
    rest = torch.where(counted, n[..., None] - k, 0)
    # With xlogy 0 of a share of 0 are certain, and one is impossible.
    logs = _log_choose(n[..., None], inside) + torch.xlogy(inside, s[..., None]) + torch.xlogy(rest, 1 - s[..., None])
    return torch.where(counted, logs, -torch.inf).logsumexp(dim=-1).exp().clamp(0, 1)


def rank_sum_p_value(values: Tensor, others: Tensor) -> float:
    r"""Return the one-sided p-value of the rank-sum test: that ``values`` are as large as this by chance.

    The normal approximation with ties, :math:`z = (U - nm/2 - 1/2) / \sigma`; it is a permutation test of the ranks, so
    it asks nothing of the distribution.

    Args:
        values: ``[n]``.
        others: ``[m]``.

    Returns:
        A probability; 1 where a group is empty or all values are equal.

    Reference:
        Mann and Whitney 1947, "On a test of whether one of two random variables is stochastically larger than the
        other", Annals of Mathematical Statistics 18(1).

    Example:
        >>> rank_sum_p_value(torch.tensor([5.0, 6.0, 7.0]), torch.tensor([1.0, 2.0, 3.0])) < 0.05
        True
    """
    n, m = len(values), len(others)
    if not n or not m:
        return 1.0
    both = torch.cat([values, others]).double()
    _, inverse, counts = both.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    ranks = (ends - (counts.double() - 1) / 2)[inverse]
    statistic = float(ranks[:n].sum()) - n * (n + 1) / 2
    total = n + m
    ties = float((counts.double() ** 3 - counts).sum()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - ties)
    if variance <= 0:
        return 1.0
    z = (statistic - n * m / 2 - 0.5) / math.sqrt(variance)
    return 0.5 * math.erfc(z / math.sqrt(2))


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
