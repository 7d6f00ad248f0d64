"""The ranks of the values of each sample; ties share the mean of theirs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from saliency_callbacks.functional.precision import wide_dtype, widen
from saliency_callbacks.functional.sorting import sorted_with_order, ties

__all__ = ["rank", "rank_counted", "unit_ranks"]

# Below it, float32 has every half of a whole number.
_EXACT_HALVES = 2**23


def rank(values: Tensor) -> Tensor:
    """Rank the values of each sample from 1 (smallest) to P; ties share the mean of their ranks.

    Args:
        values: ``[N, P]``.

    Returns:
        Ranks ``[N, P]`` in float64 (float32 on ``mps``), since half precision cannot count to P; all NaN for a sample
        with a non-finite value.

    Example:
        >>> rank(torch.tensor([[30.0, 10.0, 30.0, 20.0]]))
        tensor([[3.5000, 1.0000, 3.5000, 2.0000]], dtype=torch.float64)
    """
    flat = values.flatten(1)
    return _order_ranks(flat).masked_fill(~flat.isfinite().all(dim=1, keepdim=True), torch.nan)


def rank_counted(values: Tensor, counted: Tensor) -> Tensor:
    """Rank the values of each sample that count from 1 to P′; the others get the mean of these ranks.

    So that they drop out of every correlation of ranks.

    Args:
        values: ``[N, P]``.
        counted: Bool, the same shape.

    Returns:
        Ranks ``[N, P]``, as of ``rank``; all NaN for a sample with a non-finite value that counts, or with none.

    Example:
        >>> rank_counted(torch.tensor([[30.0, 9.0, 10.0, 20.0]]), torch.tensor([[True, False, True, True]]))
        tensor([[3., 2., 1., 2.]], dtype=torch.float64)
    """
    is_finite = (values.isfinite() | ~counted).all(dim=1, keepdim=True)
    ranks = _order_ranks(values.masked_fill(~counted, torch.inf))
    count = widen(counted.sum(dim=1, keepdim=True))
    valid = is_finite & (count > 0)
    return torch.where(counted, ranks, (count + 1) / 2).masked_fill(~valid, torch.nan)


def unit_ranks(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return centred ranks of unit length, ``[N, P]``: their inner products are Spearman correlations.

    So that a map that is compared with many others is ranked and scaled once.

    Args:
        values: ``[N, ...]``.
        counted: Which positions are ranked, bool ``[N, P]``; the others drop out. ``None`` for all.

    Returns:
        ``[N, P]`` in float32; all NaN for a sample that is constant or not finite.

    Example:
        >>> a, b = unit_ranks(torch.tensor([[1.0, 2.0, 3.0]])), unit_ranks(torch.tensor([[6.0, 4.0, 2.0]]))
        >>> (a * b).sum(dim=1).round(decimals=6)
        tensor([-1.])
    """
    flat = values.flatten(1)
    if not flat.shape[1]:
        return flat.float()
    if counted is not None:
        return _unit(rank_counted(flat, counted), widen(counted.sum(dim=1, keepdim=True)))
    ascending, order = sorted_with_order(flat)
    runs = _runs_of_ties(ascending)
    ranks = _ascending_ranks(ascending, runs, _exact_dtype(ascending))
    # Infinities and NaN are at the ends.
    is_finite = ascending[:, :1].isfinite() & ascending[:, -1:].isfinite()
    length = _length(ascending, runs).masked_fill_(~is_finite, torch.nan)
    return _put_back(_centred(ranks, flat.shape[1]).div_(length.to(ranks.dtype)).float(), order)


class _Runs(NamedTuple):
    """Where the flattened rows ``[N, P]`` of sorted values have ties.

    Args:
        tied: Positions of values that equal the one before them, ``[T]``.
        first: Position of the first value of each run of ties, ``[R]``.
        repeats: How many values of each run come after its first one, ``[R]``; T in all.
    """

    tied: Tensor
    first: Tensor
    repeats: Tensor


def _runs_of_ties(ascending: Tensor) -> _Runs:
    tied = ties(ascending)
    begins = (torch.diff(tied, prepend=tied[:1] - 2) > 1).nonzero()[:, 0]
    # The one before belongs to the run, too.
    return _Runs(tied, tied[begins] - 1, torch.diff(begins, append=begins.new_tensor([len(tied)])))


def _order_ranks(flat: Tensor) -> Tensor:
    """Return the ranks of values ``[N, P]`` none of which is NaN."""
    ascending, order = sorted_with_order(flat)
    return _put_back(_ascending_ranks(ascending, _runs_of_ties(ascending), wide_dtype(ascending.device)), order)


def _ascending_ranks(ascending: Tensor, runs: _Runs, dtype: torch.dtype) -> Tensor:
    """Return the ranks of values ``[N, P]`` that are sorted already; those of ties, few as a rule, are put right."""
    count = ascending.shape[1]
    ranks = torch.arange(1, count + 1, device=ascending.device, dtype=dtype).repeat(len(ascending), 1)
    if len(runs.tied):
        shared = (runs.first % count + 1).to(dtype) + runs.repeats.to(dtype) / 2
        flat = ranks.view(-1)
        flat[runs.first] = shared
        flat[runs.tied] = shared.repeat_interleave(runs.repeats)
    return ranks


def _length(ascending: Tensor, runs: _Runs) -> Tensor:
    """Return the length of the centred ranks of each row, ``[N, 1]``.

    √((P³ - P - Σ (t³ - t)) / 12) of P values, of which t tie with each other in each run: no sum over all values. It is
    exactly 0 for a constant.
    """
    n_rows, count = ascending.shape
    # Of nearly constant rows little is left of the difference: not in float32, which is all that some devices have.
    first, tied = runs.first.cpu(), runs.repeats.cpu().double() + 1
    lost = torch.zeros(n_rows, dtype=torch.float64).index_add_(0, first // count, _cubes(tied))
    left = _cubes(torch.tensor(float(count), dtype=torch.float64)) - lost
    return (left / 12).sqrt()[:, None].to(wide_dtype(ascending.device)).to(ascending.device)


def _cubes(numbers: Tensor) -> Tensor:
    return numbers**3 - numbers


def _put_back(ascending: Tensor, order: Tensor) -> Tensor:
    """Return values ``[N, P]`` where they stood before they were sorted."""
    return ascending.new_empty(order.shape).scatter_(1, order, ascending)


def _unit(ranks: Tensor, count: Tensor) -> Tensor:
    """Return the ranks of ``count`` values, centred and scaled to unit length, in float32."""
    centred = _centred(ranks, count)
    return centred.div_(torch.linalg.vector_norm(centred, dim=1, keepdim=True)).float()


def _centred(ranks: Tensor, count: Tensor | int) -> Tensor:
    # The mean of ranks is known, and exact: those of a constant are 0 / 0 later.
    return ranks.sub_((count + 1) / 2)


def _exact_dtype(values: Tensor) -> torch.dtype:
    """Return the smallest dtype that has every rank of rows ``[N, P]``, half of a whole number."""
    return torch.float32 if values.shape[1] < _EXACT_HALVES else wide_dtype(values.device)
