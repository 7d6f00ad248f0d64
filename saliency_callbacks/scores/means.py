"""From one value a sample to one number a probe, or a draw."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["mean_of_finite", "means_of_finite"]


def mean_of_finite(values: Tensor) -> float:
    """Return the mean of the finite entries of ``values [N]``; NaN where there is none.

    A map without a score (constant, not finite) must not pass for a score of 0 or 1.
    """
    finite = values[values.isfinite()]
    return float(finite.double().mean()) if len(finite) else math.nan


def means_of_finite(values: Tensor) -> list[float]:
    """Return the mean of the finite entries of each row of ``values [draws, N]``, as :func:`mean_of_finite` of each."""
    finite = values.isfinite()
    totals = values.double().masked_fill(~finite, 0).sum(dim=1)
    means: list[float] = (totals / finite.sum(dim=1)).tolist()
    return means
