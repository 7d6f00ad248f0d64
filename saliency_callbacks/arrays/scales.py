"""Which value of a map gets the full color, and whether a map shows anything."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = ["degenerate", "finite", "full_color", "largest", "percentile"]

_QUANTILE = 0.99

Floats = npt.NDArray[np.float32]


def finite(values: npt.NDArray[np.floating]) -> Floats:
    """Return values as ``float32``; what is not finite becomes 0.

    Example:
        >>> finite(np.array([1.0, np.nan, -np.inf])).tolist()
        [1.0, 0.0, 0.0]
    """
    single: Floats = values.astype(np.float32, copy=False)
    # Both of NaN are NaN. Much faster than to look at each value, of which all are finite as a rule.
    if not single.size or (np.isfinite(single.max()) and np.isfinite(single.min())):
        return single
    return np.nan_to_num(single, nan=0.0, posinf=0.0, neginf=0.0)


def percentile(maps: Floats, q: float) -> Floats:
    """Return the nearest-rank percentile of each finite map ``[N, *spatial]``: its ⌈q·P⌉-th smallest of P values.

    Example:
        >>> percentile(np.arange(1.0, 101.0, dtype=np.float32)[None], 0.99).tolist()
        [99.0]
    """
    flat = maps.reshape(len(maps), -1)
    # The decimal as written: in binary, 0.07 · 100 is a little more than 7.
    place = max(1, math.ceil(Fraction(str(float(q))) * flat.shape[1])) - 1
    return np.partition(flat, place, axis=1)[:, place]


def degenerate(maps: Floats) -> npt.NDArray[np.bool_]:
    """Tell which maps ``[N, *spatial]`` explain nothing: constant (all zero included) or not finite; bool ``[N]``.

    Example:
        >>> degenerate(np.array([[0.0, 1.0], [2.0, 2.0], [np.nan, 1.0]], dtype=np.float32)).tolist()
        [False, True, True]
    """
    flat = maps.reshape(len(maps), -1)
    # Both of NaN are NaN.
    highest, lowest = flat.max(axis=1), flat.min(axis=1)
    return np.asarray(~(np.isfinite(highest) & np.isfinite(lowest)) | (highest == lowest))


def largest(maps: Floats) -> Floats:
    """Return the largest absolute value of each map ``[N, *spatial]``, ``[N]``."""
    return np.asarray(np.abs(maps).reshape(len(maps), -1).max(axis=1))


def full_color(maps: Floats) -> Floats:
    """Return the value of each map that gets the full color: its 99th percentile, or its largest where that is 0.

    Example:
        >>> full_color(np.array([[0.0, 0.0, -3.0]], dtype=np.float32)).tolist()
        [3.0]
    """
    quantile = percentile(np.abs(maps), _QUANTILE)
    return np.where(quantile > 0, quantile, largest(maps))
