"""How alike two maps are, sample by sample.

A map that is constant or not finite has no similarity to anything: the result is NaN, never 0 or 1. Sums are taken in
float64 (float32 on ``mps``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.maps import degenerate
from saliency_callbacks.functional.precision import score_dtype, widen

__all__ = [
    "cosine",
    "inner_products",
    "pearson",
    "rank",
    "rank_counted",
    "require_same_shape",
    "spearman",
    "spearman_from_ranks",
    "top_k_overlap",
    "unit_ranks",
]

_HALF = (torch.float16, torch.bfloat16)
# Numbers that are multiplied at once, so that they stay in a processor's cache.
_AT_ONCE = 2**16


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


def _order_ranks(flat: Tensor) -> Tensor:
    """Return the ranks of values ``[N, P]`` none of which is NaN."""
    ascending, order = _sorted(flat)
    return _put_back(_ascending_ranks(ascending), order)


def _ascending_ranks(ascending: Tensor) -> Tensor:
    """Return the ranks of values ``[N, P]`` that are sorted already; those of ties, few as a rule, are put right."""
    count = ascending.shape[1]
    ranks = widen(torch.arange(1, count + 1, device=ascending.device)).repeat(len(ascending), 1)
    is_tied = torch.zeros_like(ascending, dtype=torch.bool)
    is_tied[:, 1:] = ascending[:, 1:] == ascending[:, :-1]
    tied = is_tied.flatten().nonzero()[:, 0]
    if len(tied):
        begins = (torch.diff(tied, prepend=tied[:1] - 2) > 1).nonzero()[:, 0]
        lengths = torch.diff(begins, append=begins.new_tensor([len(tied)]))
        # The one before belongs to the run, too.
        first = tied[begins] - 1
        shared = widen(first % count + 1) + widen(lengths) / 2
        flat = ranks.view(-1)
        flat[first] = shared
        flat[tied] = shared.repeat_interleave(lengths)
    return ranks


def _are_finite(ascending: Tensor) -> Tensor:
    """Return which rows of sorted values ``[N, P]`` are finite, ``[N, 1]``: infinities and NaN are at the ends."""
    return ascending[:, :1].isfinite() & ascending[:, -1:].isfinite()


def _put_back(ascending: Tensor, order: Tensor) -> Tensor:
    """Return values ``[N, P]`` where they stood before they were sorted."""
    return ascending.new_empty(order.shape).scatter_(1, order, ascending)


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
    require_same_shape(a, b)
    left, right = _centred(a), _centred(b)
    norm = ((left**2).sum(dim=1) * (right**2).sum(dim=1)).sqrt()
    correlation = (left * right).sum(dim=1) / norm
    return correlation.clamp(-1, 1).to(_common_dtype(a, b))


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
    require_same_shape(a, b)
    left, right = (a.abs(), b.abs()) if absolute else (a, b)
    return spearman_from_ranks(rank(left), rank(right)).to(_common_dtype(a, b))


def spearman_from_ranks(rank_a: Tensor, rank_b: Tensor) -> Tensor:
    """Return Spearman's correlation ``[N]`` of ranks ``[N, P]`` from ``rank``, so that each map is ranked once."""
    return pearson(rank_a, rank_b)


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
    ascending, order = _sorted(flat)
    unit = _unit(_ascending_ranks(ascending), flat.shape[1])
    return _put_back(unit, order).masked_fill_(~_are_finite(ascending), torch.nan)


def _unit(ranks: Tensor, count: Tensor | int) -> Tensor:
    """Return the ranks of ``count`` values, centred and scaled to unit length, in float32."""
    # The mean of ranks is known, and exact: those of a constant are 0 / 0 here.
    centred = ranks - (count + 1) / 2
    return centred.div_(torch.linalg.vector_norm(centred, dim=1, keepdim=True)).float()


def inner_products(a: Tensor, b: Tensor) -> Tensor:
    """Return Σab of each sample.

    Args:
        a: ``[N, P]``; whole numbers are multiplied as numbers of ``b``'s dtype.
        b: ``[N, P]``, floating.

    Returns:
        ``[N]`` in the dtype of ``b``.

    Example:
        >>> inner_products(torch.tensor([[1, 2], [3, 4]], dtype=torch.int16), torch.tensor([[0.5, 1.0], [1.0, 0.0]]))
        tensor([2.5000, 3.0000])
    """
    rows = max(1, _AT_ONCE // max(1, a.shape[1])) if a.device.type == "cpu" else max(1, len(a))
    pairs = zip(a.split(rows), b.split(rows), strict=True)
    return torch.cat([(left.to(b.dtype) * right).sum(dim=1) for left, right in pairs])


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine Σab / sqrt(Σa² Σb²) of the angle between the maps of each sample.

    Args:
        a: ``[N, ...]``.
        b: ``[N, ...]``.

    Returns:
        ``[N]`` in [-1, 1]; NaN where ``a`` or ``b`` is constant or not finite.

    Raises:
        ConfigurationError: If the shapes differ.

    Example:
        >>> cosine(torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 1.0], [-6.0, -8.0]]))
        tensor([ 0., -1.])
    """
    require_same_shape(a, b)
    products = (_direction(a) * _direction(b)).sum(dim=1)
    return products.clamp(-1, 1).masked_fill(degenerate(a) | degenerate(b), torch.nan).to(_common_dtype(a, b))


def top_k_overlap(a: Tensor, b: Tensor, *, fraction: float = 0.1) -> Tensor:
    """Return the share of the k = max(1, round(fraction · P)) largest of P values that both maps have in common.

    Σ_i min(w_i(a), w_i(b)) / k, where w_i is 1 above the k-th largest value, 0 below it, and the chance (k - number
    above) / (number tied) of position i under random tie breaking at it. With a product of the chances instead of their
    minimum, a map with ties would not fully overlap with itself.

    Args:
        a: ``[N, ...]``.
        b: ``[N, ...]``.
        fraction: Share of the values that count as the largest, in (0, 1].

    Returns:
        ``[N]`` in [0, 1], ``fraction`` on average for unrelated maps without ties; NaN where ``a`` or ``b`` is constant
        or not finite.

    Raises:
        ConfigurationError: If the shapes differ or ``fraction`` is outside (0, 1].

    Example:
        >>> a, b = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[9.0, 0.0, 0.0, 0.0]])
        >>> top_k_overlap(a, b, fraction=0.25), top_k_overlap(a, b, fraction=0.5)
        (tensor([1.]), tensor([0.6667]))
    """
    require_same_shape(a, b)
    if not 0 < fraction <= 1:
        raise ConfigurationError(f"fraction={fraction} is outside (0, 1]; give the share of each map, such as 0.1")
    k = max(1, round(fraction * a[:1].numel()))
    shared = torch.minimum(_top_k_chances(a, k), _top_k_chances(b, k)).sum(dim=1) / k
    return shared.clamp(0, 1).masked_fill(degenerate(a) | degenerate(b), torch.nan).to(_common_dtype(a, b))


def require_same_shape(a: Tensor, b: Tensor) -> None:
    """Refuse to compare maps of different shapes with a ``ConfigurationError``."""
    if a.shape != b.shape:
        raise ConfigurationError(
            f"cannot compare maps of shape {tuple(a.shape)} and {tuple(b.shape)}; resize them to one shape first"
        )


def _sorted(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Return what sorts and ties as the rows of ``flat [N, P]`` do, ascending, and where it stood in its row."""
    if flat.device.type != "cpu":
        ascending, order = flat.sort(dim=1)
        return ascending, order
    # Several times faster than torch on a CPU, as NumPy sorts with vector instructions. In which order ties come makes
    # no difference: they share their ranks.
    values = flat.detach().float() if flat.dtype in _HALF else flat.detach()
    order = torch.from_numpy(values.numpy().argsort(axis=1))
    return values.gather(1, order), order


def _centred(values: Tensor) -> Tensor:
    """Return values ``[N, P]`` minus their mean, scaled to at most 1; NaN for a constant or non-finite sample."""
    flat = widen(values).flatten(1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    # Unscaled, the squares of very small attributions underflow.
    scaled = centred / centred.abs().amax(dim=1, keepdim=True)
    # The mean of equal values may differ from them in the last digit, so their deviation is not a reliable 0.
    constant = flat.amax(dim=1, keepdim=True) == flat.amin(dim=1, keepdim=True)
    return scaled.masked_fill(constant, torch.nan)


def _direction(values: Tensor) -> Tensor:
    """Return values ``[N, P]`` divided by their norm sqrt(Σv²)."""
    flat = widen(values).flatten(1)
    scaled = flat / flat.abs().amax(dim=1, keepdim=True)
    return scaled / (scaled**2).sum(dim=1, keepdim=True).sqrt()


def _top_k_chances(values: Tensor, k: int) -> Tensor:
    """Return how likely each position is among the k largest of its sample, ties broken at random, ``[N, P]``."""
    flat = values.flatten(1)
    threshold = flat.topk(k, dim=1).values[:, -1:]
    above, tied = flat > threshold, flat == threshold
    chance = widen(k - above.sum(dim=1, keepdim=True)) / tied.sum(dim=1, keepdim=True)
    return widen(above) + tied * chance


def _common_dtype(a: Tensor, b: Tensor) -> torch.dtype:
    return torch.promote_types(score_dtype(a), score_dtype(b))
