"""Medians over all rows but one."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["medians_and_spreads_of_others", "medians_of_others"]


def medians_of_others(values: Tensor) -> Tensor:
    r"""Return for each row the median over the other rows, :math:`\tilde x_{-k} = \operatorname{med}_{j \ne k} x_j`.

    Of an even number of rows it is the lower one of the two in the middle, as :func:`torch.median` returns. All rows
    are sorted once, so that it takes no K² of K rows.

    Args:
        values: Finite values of at least two rows, ``[K, …]``.

    Returns:
        ``[K, …]``.

    Raises:
        ConfigurationError: If there are fewer rows.

    Example:
        >>> medians_of_others(torch.tensor([1.0, 5.0, 2.0, 9.0]))
        tensor([5., 2., 5., 2.])
    """
    lower, upper, takes_lower = _middle(values)
    return torch.where(takes_lower, lower, upper)


def medians_and_spreads_of_others(values: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the median over the other rows, and the median of their distances from it, ``[K, …]`` each.

    .. math:: \operatorname{med}_{j \ne k} |x_j - \tilde x_{-k}|

    Args:
        values: Finite values of at least two rows, ``[K, …]``.

    Raises:
        ConfigurationError: If there are fewer rows.

    Example:
        >>> medians_and_spreads_of_others(torch.tensor([1.0, 5.0, 2.0, 9.0]))
        (tensor([5., 2., 5., 2.]), tensor([3., 1., 4., 1.]))
    """
    lower, upper, takes_lower = _middle(values)
    # At each place, the median over the others is one of two values.
    around_lower, around_upper = (medians_of_others((values - middle).abs()) for middle in (lower, upper))
    return torch.where(takes_lower, lower, upper), torch.where(takes_lower, around_lower, around_upper)


def _middle(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two values that can be the median over the other rows, and which rows take the lower one."""
    if len(values) < 2:
        raise ConfigurationError(f"values have {len(values)} rows; expected at least two")
    ordered, order = values.sort(dim=0, stable=True)
    middle = (len(values) - 2) // 2
    takes_lower = torch.ones_like(order, dtype=torch.bool)
    # Without a row of the lower half, the middle moves up by one.
    takes_lower.scatter_(0, order[: middle + 1], value=False)
    return ordered[middle], ordered[middle + 1], takes_lower
