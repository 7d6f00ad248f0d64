"""Whether the most extreme of a few values is an outlier."""

from __future__ import annotations

from saliency_callbacks.errors import ConfigurationError

__all__ = ["least_outlying_gap"]

_FEWEST = 3
_AT_5 = (
    *(0.970, 0.829, 0.710, 0.625, 0.568, 0.526, 0.493, 0.466, 0.444),
    *(0.426, 0.410, 0.396, 0.384, 0.374, 0.365, 0.356, 0.349, 0.342),
)
_AT_1 = (
    *(0.994, 0.926, 0.821, 0.740, 0.680, 0.634, 0.598, 0.568, 0.542),
    *(0.522, 0.503, 0.488, 0.475, 0.463, 0.452, 0.442, 0.433, 0.425),
)
_CRITICAL = {0.05: _AT_5, 0.01: _AT_1}
"""Significance → what Dixon's Q exceeds by chance, at either end of 3 to 20 values."""


def least_outlying_gap(n_values: int, significance: float = 0.05) -> float:
    r"""Return how far the most extreme of some values has to be from the next for Dixon's test to call it an outlier.

    .. math:: \frac{Q}{1 - Q}, \quad Q = \frac{x_{(n)} - x_{(n - 1)}}{x_{(n)} - x_{(1)}}

    Args:
        n_values: How many there are, the outlier included. Above 20 that for 20 is returned, which is conservative;
            of one or two values none is an outlier.
        significance: How often normal values have an outlier by chance, at either end: .05 or .01.

    Returns:
        The gap over the range of the other values.

    Raises:
        ConfigurationError: If there is no value, or no table for the significance.

    Reference:
        Rorabacher 1991, "Statistical treatment for rejection of deviant values", Analytical Chemistry 63, table 1.

    Example:
        >>> round(least_outlying_gap(5), 2), round(least_outlying_gap(10), 2)
        (2.45, 0.87)
    """
    if n_values < 1:
        raise ConfigurationError(f"n_values={n_values} has no extreme value; expected at least 1")
    if significance not in _CRITICAL:
        raise ConfigurationError(f"significance={significance} is not tabulated; expected one of {[*_CRITICAL]}")
    if n_values < _FEWEST:
        return float("inf")
    table = _CRITICAL[significance]
    critical = table[min(n_values - _FEWEST, len(table) - 1)]
    return critical / (1 - critical)
