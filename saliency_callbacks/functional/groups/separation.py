"""Whether values fall into two groups, and how far these are apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["TwoGroups", "separation_of_one_group", "two_groups"]

_OF_UNIFORM = math.sqrt(12)
_BY_CHANCE = 1.35


class TwoGroups(NamedTuple):
    """The two groups that values fall into.

    Args:
        separation: Ashman's D of them.
        lower: Mean of the lower group.
        upper: Mean of the upper group.
    """

    separation: float
    lower: float
    upper: float

    @property
    def middle(self) -> float:
        """Half way between the groups."""
        return (self.lower + self.upper) / 2


def two_groups(values: Tensor, fewest: int) -> TwoGroups:
    r"""Cut values in two where the groups are furthest apart, measured by how much they vary.

    .. math:: D = \max_t \sqrt 2 \, \frac{\mu_{> t} - \mu_{\le t}}{\sqrt{\sigma_{> t}^2 + \sigma_{\le t}^2}}

    A cut through one group gives about 2.7 if it is normal and 3.5 if it is uniform, and more by chance if there are
    few values.

    Args:
        values: ``[N]``.
        fewest: How many values each group has at least, from 2 up.

    Returns:
        The groups; infinitely far apart where neither varies but they differ, and 0 where all values are equal.

    Raises:
        ConfigurationError: If there are too few values.

    Reference:
        Ashman, Bird and Zepf 1994, "Detecting bimodality in astronomical datasets", arXiv:astro-ph/9408030, equation 4.

    Example:
        >>> two_groups(torch.tensor([0.0, 2, 10, 12]), fewest=2)
        TwoGroups(separation=7.0710678118654755, lower=1.0, upper=11.0)
    """
    if fewest < 2 or len(values) < 2 * fewest:
        raise ConfigurationError(
            f"{len(values)} values cannot be split into two groups of at least fewest={fewest}; give fewest=2 or "
            "more, and at least twice as many values"
        )
    ordered = values.double().sort().values
    # About the mean, squares lose no digits.
    centered = ordered - ordered.mean()
    counts = torch.arange(fewest, len(values) - fewest + 1)
    below, above = _moments(centered, counts), _moments(-centered.flip(0), len(values) - counts)
    distance = -above[0] - below[0]
    spread = ((below[1] + above[1]) / 2).sqrt()
    separation = torch.where(distance > 0, distance / spread, 0.0)
    cut = int(separation.argmax())
    lower, upper = (ordered[: counts[cut]].mean(), ordered[counts[cut] :].mean())
    return TwoGroups(float(separation[cut]), float(lower), float(upper))


def separation_of_one_group(n_values: int) -> float:
    r"""Return the separation by :func:`two_groups` that evenly spread values exceed in about one draw of ten.

    .. math:: \sqrt{12} \left(1 + 1.35 / \sqrt n\right)

    An even spread is the least grouped of what has no tails; cut in the middle it has a separation of
    :math:`\sqrt{12}`, and few values have more by chance. The second term was fitted to draws of 16 to 300 values.

    Args:
        n_values: How many values are cut, at least 1.

    Example:
        >>> round(separation_of_one_group(64), 2), round(separation_of_one_group(16), 2)
        (4.05, 4.63)
    """
    return _OF_UNIFORM * (1 + _BY_CHANCE / math.sqrt(n_values))


def _moments(values: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance of the first so many values."""
    sums, squares = values.cumsum(0)[counts - 1], values.square().cumsum(0)[counts - 1]
    mean = sums / counts
    return mean, ((squares - counts * mean.square()) / (counts - 1)).clamp(min=0)
