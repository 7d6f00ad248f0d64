"""Which value of a map gets the full color, and whether a map shows anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = ["Extremes", "finite", "full_color", "percentile"]

_QUANTILE = 0.99

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Extremes:
    """Lowest and highest value of each map ``[N]``, and what follows from them; both are NaN where a value is NaN.

    To find them is much faster than to look at each value, of which all are finite as a rule.

    Example:
        >>> found = Extremes.of(np.array([[0.0, -1.0], [2.0, 2.0], [np.nan, 1.0]], dtype=np.float32))
        >>> found.degenerate.tolist(), found.largest.tolist()
        ([False, True, True], [1.0, 2.0, nan])
    """

    lowest: Floats
    highest: Floats

    @staticmethod
    def of(maps: Floats) -> Extremes:
        """Return those of maps ``[N, *spatial]``."""
        flat = maps.reshape(len(maps), -1)
        return Extremes(flat.min(axis=1), flat.max(axis=1))

    @property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Which maps have finite values alone."""
        return np.isfinite(self.lowest) & np.isfinite(self.highest)

    @property
    def degenerate(self) -> npt.NDArray[np.bool_]:
        """Which maps explain nothing: constant (all zero included) or not finite."""
        return np.asarray(~self.finite | (self.highest == self.lowest))

    @property
    def largest(self) -> Floats:
        """Largest absolute value of each map."""
        return np.maximum(np.abs(self.lowest), np.abs(self.highest))


def finite(values: npt.NDArray[np.floating]) -> Floats:
    """Return values as ``float32``; what is not finite becomes 0.

    Example:
        >>> finite(np.array([1.0, np.nan, -np.inf])).tolist()
        [1.0, 0.0, 0.0]
    """
    single: Floats = values.astype(np.float32, copy=False)
    if not single.size or Extremes.of(single.reshape(1, -1)).finite.all():
        return single
    return np.nan_to_num(single, nan=0.0, posinf=0.0, neginf=0.0)


def percentile(maps: Floats, q: float) -> Floats:
    """Return the nearest-rank percentile of each finite map ``[N, *spatial]``: its ⌈q·P⌉-th smallest of P values.

    Example:
        >>> percentile(np.arange(1.0, 101.0, dtype=np.float32)[None], 0.99).tolist()
        [99.0]
    """
    flat = maps.reshape(len(maps), -1)
    place = _place(q, flat.shape[1])
    return np.partition(flat, place, axis=1)[:, place]


def full_color(maps: Floats) -> Floats:
    """Return the value of each map that gets the full color: its 99th percentile, or its largest where that is 0.

    Example:
        >>> full_color(np.array([[0.0, 0.0, -3.0]], dtype=np.float32)).tolist()
        [3.0]
    """
    found = np.empty(len(maps), np.float32)
    # One map at a time: what is copied and sorted stays in the processor's cache.
    for row, one in enumerate(maps):
        sizes = np.abs(one).reshape(-1)
        place = _place(_QUANTILE, sizes.size)
        sizes.partition(place)
        found[row] = sizes[place] if sizes[place] > 0 else sizes[place:].max()
    return found


def _place(q: float, count: int) -> int:
    # The decimal as written: in binary, 0.07 · 100 is a little more than 7.
    return max(1, math.ceil(Fraction(str(float(q))) * count)) - 1
