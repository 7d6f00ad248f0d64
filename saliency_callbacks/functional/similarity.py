"""How alike two maps are, sample by sample.

A map that is constant or not finite has no similarity to anything: the result is NaN, never 0 or 1. Sums are taken in
float64 (float32 on ``mps``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.precision import score_dtype, widen

__all__ = ["pearson", "rank", "spearman", "spearman_from_ranks"]


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
    ascending, order = flat.sort(dim=1)
    position = torch.arange(1, flat.shape[1] + 1, device=flat.device)
    rises = ascending[:, 1:] != ascending[:, :-1]
    edge = rises.new_ones((len(flat), 1))
    # Within a run of ties, the largest start so far is the run's first place, and the smallest end ahead its last.
    first = torch.where(torch.cat([edge, rises], dim=1), position, 1).cummax(dim=1).values
    ends = torch.where(torch.cat([rises, edge], dim=1), position, flat.shape[1])
    last = ends.flip(1).cummin(dim=1).values.flip(1)
    shared = widen(first + last) / 2
    ranks = torch.empty_like(shared).scatter(1, order, shared)
    return ranks.masked_fill(~flat.isfinite().all(dim=1, keepdim=True), torch.nan)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation r = Σ(a-ā)(b-b̄) / sqrt(Σ(a-ā)² Σ(b-b̄)²) of each sample.

    Args:
        a: ``[N, P]``.
        b: ``[N, P]``.

    Returns:
        ``[N]`` in [-1, 1]; NaN where ``a`` or ``b`` is constant or not finite.

    Raises:
        ConfigurationError: If the shapes differ.

    Example:
        >>> pearson(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[6.0, 4.0, 2.0]]))
        tensor([-1.])
    """
    _require_same_shape(a, b)
    left, right = _centred(a), _centred(b)
    norm = ((left**2).sum(dim=1) * (right**2).sum(dim=1)).sqrt()
    correlation = (left * right).sum(dim=1) / norm
    return correlation.clamp(-1, 1).to(torch.promote_types(score_dtype(a), score_dtype(b)))


def spearman(a: Tensor, b: Tensor, *, absolute: bool = False) -> Tensor:
    """Return Spearman's rank correlation of each sample: Pearson's correlation of the ranks.

    Args:
        a: ``[N, ...]``.
        b: ``[N, ...]``.
        absolute: Whether to rank the magnitudes, as when comparing maps whose sign is not shown.

    Returns:
        ``[N]`` in [-1, 1]; NaN where ``a`` or ``b`` is constant or not finite.

    Raises:
        ConfigurationError: If the shapes differ.

    Reference:
        Adebayo et al. 2018, arXiv 1810.03292 (with and without absolute values).

    Example:
        >>> signed = torch.tensor([[1.0, -2.0, 3.0]])
        >>> spearman(signed, -signed), spearman(signed, -signed, absolute=True)
        (tensor([-1.]), tensor([1.]))
    """
    _require_same_shape(a, b)
    left, right = (a.abs(), b.abs()) if absolute else (a, b)
    correlation = spearman_from_ranks(rank(left), rank(right))
    return correlation.to(torch.promote_types(score_dtype(a), score_dtype(b)))


def spearman_from_ranks(rank_a: Tensor, rank_b: Tensor) -> Tensor:
    """Return Spearman's correlation ``[N]`` of ranks ``[N, P]`` from ``rank``, so that each map is ranked once."""
    return pearson(rank_a, rank_b)


def _centred(values: Tensor) -> Tensor:
    """Return values ``[N, P]`` minus their mean, scaled to at most 1; NaN for a constant or non-finite sample."""
    flat = widen(values).flatten(1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    # Unscaled, the squares of very small attributions underflow.
    scaled = centred / centred.abs().amax(dim=1, keepdim=True)
    # The mean of equal values may differ from them in the last digit, so their deviation is not a reliable 0.
    constant = flat.amax(dim=1, keepdim=True) == flat.amin(dim=1, keepdim=True)
    return scaled.masked_fill(constant, torch.nan)


def _require_same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ConfigurationError(
            f"cannot compare maps of shape {tuple(a.shape)} and {tuple(b.shape)}; resize them to one shape first"
        )
