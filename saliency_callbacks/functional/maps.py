"""From raw attributions to maps: reduce channels, resize, scale, and tell when a map shows nothing.

Raw values are ``[N, C, *spatial]``, maps are ``[N, *spatial]``, with one to three spatial dimensions. Samples never
interact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, nearest_names
from saliency_callbacks.functional.precision import widen
from saliency_callbacks.functional.sorting import kth_smallest
from saliency_callbacks.types import Reduction

__all__ = [
    "degenerate",
    "distribution",
    "is_finite",
    "normalize",
    "percentile",
    "reduce_channels",
    "resize",
    "signed_map",
]

_REDUCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "abs_max": lambda values: values.abs().amax(dim=1),
    "positive_max": lambda values: values.relu().amax(dim=1),
    "l2": lambda values: torch.linalg.vector_norm(values, dim=1),
    "abs_sum": lambda values: values.abs().sum(dim=1),
    "sum": lambda values: values.sum(dim=1).abs(),
}
_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


def reduce_channels(values: Tensor, reduction: Reduction) -> Tensor:
    """Reduce signed values to a non-negative map.

    ``abs_max`` is max_c |v_c|, ``positive_max`` max_c ReLU(v_c), ``l2`` sqrt(Σ_c v_c²), ``abs_sum`` Σ_c |v_c| and
    ``sum`` |Σ_c v_c|.

    Args:
        values: Signed values, ``[N, C, *spatial]``.
        reduction: Name of the reduction.

    Returns:
        Map ``[N, *spatial]``, at least 0, in the unit of ``values``.

    Raises:
        ConfigurationError: If ``reduction`` is unknown.

    Reference:
        Simonyan et al. 2013, arXiv 1312.6034, §3.1 (``abs_max``).

    Example:
        >>> reduce_channels(torch.tensor([[[1.0, -2.0], [-3.0, 1.0]]]), "abs_max")
        tensor([[3., 2.]])
    """
    if reduction not in _REDUCTIONS:
        raise ConfigurationError(f"unknown channel reduction {reduction!r}; {nearest_names(reduction, _REDUCTIONS)}")
    return _REDUCTIONS[reduction](values)


def signed_map(values: Tensor) -> Tensor:
    """Sum signed values ``[N, C, *spatial]`` over channels, Σ_c v_c, to a signed map ``[N, *spatial]``."""
    return values.sum(dim=1)


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate maps (bi-, tri-)linearly, with pixels as areas (``align_corners=False``).

    Args:
        maps: Floating-point maps ``[N, *spatial]``.
        size: Wanted spatial size, one entry for each spatial dimension.

    Returns:
        Maps ``[N, *size]``; ``maps`` itself where the size is right already.

    Raises:
        ConfigurationError: If ``size`` does not fit the spatial dimensions, or there are not one to three of them.

    Example:
        >>> resize(torch.tensor([[0.0, 4.0]]), (4,))
        tensor([[0., 1., 3., 4.]])
    """
    wanted, spatial = tuple(size), tuple(maps.shape[1:])
    if len(wanted) != len(spatial) or len(wanted) not in _INTERPOLATION or min(wanted) < 1:
        raise ConfigurationError(
            f"cannot resize maps with spatial size {spatial} to {wanted}; "
            "give one positive entry for each of the 1 to 3 spatial dimensions"
        )
    if wanted == spatial:
        return maps
    return F.interpolate(maps[:, None], wanted, mode=_INTERPOLATION[len(wanted)], align_corners=False)[:, 0]


def percentile(maps: Tensor, q: float) -> Tensor:
    """Return the nearest-rank percentile of each map: its ⌈q·P⌉-th smallest of P values, never interpolated.

    Args:
        maps: Maps ``[N, *spatial]`` of any size.
        q: Fraction in [0, 1]; 0 is the minimum, 1 the maximum.

    Returns:
        ``[N]``, in the unit of ``maps``; NaN for a map with a non-finite value.

    Raises:
        ConfigurationError: If ``q`` is outside [0, 1].

    Example:
        >>> percentile(torch.arange(1.0, 101.0)[None], 0.99)
        tensor([99.])
    """
    flat = maps.flatten(1)
    return torch.where(is_finite(flat), _percentile(flat, q), torch.nan)


def _percentile(flat: Tensor, q: float) -> Tensor:
    if not 0 <= q <= 1:
        raise ConfigurationError(f"percentile {q} is outside [0, 1]; give a fraction such as 0.99")
    # The decimal as written: in binary, 0.07 · 100 is a little more than 7 and would round up to the 8th value.
    return kth_smallest(flat, max(1, math.ceil(Fraction(str(float(q))) * flat.shape[1])))


def normalize(maps: Tensor, q: float = 0.99) -> Tensor:
    """Clip each map at its q-percentile and scale it to [0, 1].

    A map so sparse that the percentile is 0 is divided by its maximum instead. A map without a positive value and a
    map with a non-finite value become all zero; ``degenerate`` names them.

    Args:
        maps: Non-negative maps ``[N, *spatial]``; negative values are drawn as 0.
        q: Fraction in [0, 1] of the values below the clip.

    Returns:
        ``[N, *spatial]`` in [0, 1], never NaN.

    Raises:
        ConfigurationError: If ``q`` is outside [0, 1].

    Example:
        >>> normalize(torch.tensor([[0.0, 1.0, 2.0, 100.0]]), q=0.75)
        tensor([[0.0000, 0.5000, 1.0000, 1.0000]])
    """
    flat = maps.flatten(1)
    peak = flat.amax(dim=1)
    clip = _percentile(flat, q)
    scale = torch.where(clip > 0, clip, peak)[:, None]
    drawable = (is_finite(flat) & (peak > 0))[:, None]
    return (flat / scale).clamp_(0, 1).masked_fill_(~drawable, 0).reshape(maps.shape)


def is_finite(maps: Tensor) -> Tensor:
    """Tell which maps ``[N, *spatial]`` have finite values alone, bool ``[N]``."""
    flat = maps.flatten(1)
    # Both of NaN are NaN. Several times faster than to look at each value, and most of what a large map costs.
    return flat.amax(dim=1).isfinite() & flat.amin(dim=1).isfinite()


def degenerate(maps: Tensor) -> Tensor:
    """Tell which maps ``[N, *spatial]`` explain nothing: constant (all zero included) or not finite; bool ``[N]``."""
    flat = maps.flatten(1)
    highest, lowest = flat.amax(dim=1), flat.amin(dim=1)
    # Both of NaN are NaN.
    return ~(highest.isfinite() & lowest.isfinite()) | (highest == lowest)


def distribution(maps: Tensor) -> Tensor:
    """Divide each non-negative map ``[N, *spatial]`` by its sum, R / ΣR, in float64 (float32 on ``mps``).

    A map that is all zero, or has a negative or non-finite value, has no shares: it becomes all NaN.
    """
    flat = widen(maps).flatten(1)
    peak = flat.amax(dim=1, keepdim=True)
    valid = (flat.isfinite() & (flat >= 0)).all(dim=1, keepdim=True)
    relative = flat / peak  # first, because the sum of large values overflows
    shares = relative / relative.sum(dim=1, keepdim=True)
    return torch.where(valid, shares, torch.nan).reshape(maps.shape)
