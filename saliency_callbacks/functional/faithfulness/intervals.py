"""Confidence intervals of means over few samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["mean_interval", "student_quantile"]

_FEWEST_FOR_SERIES = 3


def student_quantile(probability: float, degrees: int) -> float:
    r"""Return the quantile of Student's t distribution.

    Exact for 1 and 2 degrees of freedom; above, the expansion around the normal quantile, within 0.4% of it between 0.9
    and 0.99.

    Args:
        probability: In (0, 1).
        degrees: Degrees of freedom, at least 1.

    Raises:
        ConfigurationError: If there is no such quantile.

    Reference:
        Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", 26.7.5.

    Example:
        >>> round(student_quantile(0.975, 15), 3)
        2.131
    """
    if not 0 < probability < 1 or degrees < 1:
        raise ConfigurationError(
            f"probability={probability}, degrees={degrees}; expected a probability in (0, 1) and at least one degree"
        )
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees < _FEWEST_FOR_SERIES:
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    z = float(torch.special.ndtri(torch.tensor(probability, dtype=torch.float64)))
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / degrees**power for power, term in enumerate(terms, start=1))


def mean_interval(values: Tensor, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of the finite values, and the interval of Student's t around it.

    Args:
        values: One value a sample, ``[N]``; those that are not finite are left out.
        confidence: How sure the interval is, in (0, 1).

    Returns:
        Mean, lower end and upper end; the ends are NaN for fewer than two values, the mean for none.

    Example:
        >>> [round(value, 2) for value in mean_interval(torch.tensor([1.0, 2.0, 3.0, torch.nan]))]
        [2.0, -0.48, 4.48]
    """
    finite = values[values.isfinite()].double()
    if len(finite) == 0:
        return math.nan, math.nan, math.nan
    mean = float(finite.mean())
    if len(finite) < 2:
        return mean, math.nan, math.nan
    error = float(finite.std()) / math.sqrt(len(finite))
    half = student_quantile(0.5 + confidence / 2, len(finite) - 1) * error
    return mean, mean - half, mean + half
