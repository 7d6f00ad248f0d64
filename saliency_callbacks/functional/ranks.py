"""The ranks of the values of each sample; ties share the mean of theirs."""

from __future__ import annotations

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
    if counted is not None:
        return _unit(rank_counted(flat, counted), widen(counted.sum(dim=1, keepdim=True)))
    ascending, order = sorted_with_order(flat)
    ranks = _ascending_ranks(ascending, _exact_dtype(ascending))
    # Infinities and NaN are at the ends.
    is_finite = ascending[:, :1].isfinite() & ascending[:, -1:].isfinite()
    return _put_back(_unit(ranks, flat.shape[1], is_finite), order)


def _order_ranks(flat: Tensor) -> Tensor:
    """Return the ranks of values ``[N, P]`` none of which is NaN."""
    ascending, order = sorted_with_order(flat)
    return _put_back(_ascending_ranks(ascending, wide_dtype(ascending.device)), order)


def _ascending_ranks(ascending: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the ranks of values ``[N, P]`` that are sorted already; those of ties, few as a rule, are put right."""
    count = ascending.shape[1]
    ranks = torch.arange(1, count + 1, device=ascending.device, dtype=dtype).repeat(len(ascending), 1)
    tied = ties(ascending)
    if len(tied):
        begins = (torch.diff(tied, prepend=tied[:1] - 2) > 1).nonzero()[:, 0]
        lengths = torch.diff(begins, append=begins.new_tensor([len(tied)]))
        # The one before belongs to the run, too.
        first = tied[begins] - 1
        shared = (first % count + 1).to(dtype) + lengths.to(dtype) / 2
        flat = ranks.view(-1)
        flat[first] = shared
        flat[tied] = shared.repeat_interleave(lengths)
    return ranks


def _put_back(ascending: Tensor, order: Tensor) -> Tensor:
    """Return values ``[N, P]`` where they stood before they were sorted."""
    return ascending.new_empty(order.shape).scatter_(1, order, ascending)


def _unit(ranks: Tensor, count: Tensor | int, is_valid: Tensor | None = None) -> Tensor:
    """Return the ranks of ``count`` values, centred and scaled to unit length, in float32; NaN where not valid."""
    # The mean of ranks is known, and exact: those of a constant are 0 / 0 here.
    centred = ranks - (count + 1) / 2
    length = torch.linalg.vector_norm(centred, dim=1, keepdim=True, dtype=wide_dtype(centred.device))
    if is_valid is not None:
        length = length.masked_fill(~is_valid, torch.nan)
    return centred.div_(length.to(centred.dtype)).float()


def _exact_dtype(values: Tensor) -> torch.dtype:
    """Return the smallest dtype that has every rank of rows ``[N, P]``, half of a whole number."""
    return torch.float32 if values.shape[1] < _EXACT_HALVES else wide_dtype(values.device)
