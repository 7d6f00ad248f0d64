"""How much of a pattern at a fixed place each image has: by what is added there, or by how alike images are there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.discovery.images.standing import class_means, over_places
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.functional.groups.separation import separation_of_one_group, two_groups

__all__ = ["FEWEST_OF_A_GROUP", "likelihood_scores", "linear_scores", "sharpened"]

FEWEST_OF_A_GROUP = 5
"""Images of a class that bear a mark, and that do not."""

_LEAST_Z = 2.0
"""Low, as many faint values make a pattern."""

_FEWEST_VALUES = 4
_N_SHARPENINGS = 2
"""The first finds most of the bearers, the second the whole mark."""

_LEAST_Z_OF_LIKELIHOOD = 2.5
_N_ESTIMATES = 3
_LEAST_DEVIATION = 0.01
"""Some steps of 8 bits, so that equal values do not decide alone."""

_WEIGHT_OF_ALL = 8
"""How many images the variance over all images counts as, beside that of a few."""

_MOST_OF_A_VALUE = 4.0
"""What one value adds to a score at most, so that no few decide."""


def linear_scores(values: Tensor, difference: Tensor, z: Tensor, within: Tensor) -> Tensor | None:
    """Return how much of a pattern each image has, by the linear discriminant of independent values.

    Args:
        values: ``[N, C, H, W]``.
        difference: How one class differs from the others, ``[C, H, W]``.
        z: The same over its error.
        within: Variance within a class.

    Returns:
        ``[N]``; ``None`` where hardly anything differs.
    """
    stands_out = z.abs() > _LEAST_Z
    if int(stands_out.sum()) < _FEWEST_VALUES:
        return None
    weights = difference / (within + within.median()).clamp(min=1e-6) * stands_out
    scores: Tensor = (values * weights).flatten(1).sum(dim=1) / weights.norm()
    return scores


def sharpened(scores: Tensor, values: Tensor, samples: Samples, index: int) -> Tensor:
    """Return linear scores by what sets bearers apart from the rest of their class.

    The mean of a class holds its objects as well, and little of a mark that half of its images bear; the difference
    between the two groups that the scores of a class fall into holds the mark alone.

    Args:
        scores: How much of a pattern each image has, ``[N]``.
        values: ``[N, C, H, W]``.
        samples: What is searched; only those of the class that propose are looked at.
        index: The class.
    """
    own = samples.of_class(index, samples.proposes)
    for _ in range(_N_SHARPENINGS):
        bears = _bearing(scores[own])
        if bears is None:
            break
        means, variances, counts = class_means(values[own], bears.long())
        difference, within = means[1] - means[0], variances.mean(dim=0)
        error = (within * (1 / counts).sum() + over_places(difference).square()).sqrt()
        sharper = linear_scores(values, difference, difference / error.clamp(min=1e-4), within)
        if sharper is None:
            break
        scores = sharper
    return scores


def likelihood_scores(
    scores: Tensor, images: Tensor, usual: Tensor, samples: Samples, index: int, least_separation: float
) -> Tensor | None:
    r"""Return how much likelier each image is as one of the bearers than as one of the rest of their class.

    .. math:: \sum_{p \in S} \operatorname{clamp} \left( \frac12 \left[ \frac{(x_p - \mu_p)^2}{\sigma_p^2}
        - \frac{(x_p - \mu'_p)^2}{\sigma'^2_p} + \log \frac{\sigma_p^2}{\sigma'^2_p} \right], -4, 4 \right)

    where :math:`\mu, \sigma^2` are mean and variance of the rest, :math:`\mu', \sigma'^2` those of the bearers, as if
    values were normal and independent, and S the values in which mean or variance differ beyond chance. Variances are
    shrunk to that of all images, save those of bearers that differ. What hides an image, such as a frame of any color,
    makes its bearers alike, though it may change no mean. Bearers and scores are estimated in turn, from those that
    were given.

    Args:
        scores: How much of a pattern each image has, ``[N]``, by any measure.
        images: ``[N, C, H, W]`` in [0, 1].
        usual: Variance of all images that propose, ``[C, H, W]``.
        samples: What is searched; only those of the class that propose are looked at.
        index: The class.
        least_separation: How far apart bearers and rest have to be, over what one group has by chance.

    Returns:
        ``[N]``; ``None`` where they are not so far apart.
    """
    positions = samples.of_class(index, samples.proposes)
    images = images.flatten(1)
    own, found = images[positions], scores[positions]
    for _ in range(_N_ESTIMATES):
        bears = _bearing(found)
        if bears is None:
            return None
        ratios = _Ratios.between(own[bears], own[~bears], usual.flatten())
        if len(ratios.columns) < _FEWEST_VALUES:
            return None
        found = ratios(own)
    separation = two_groups(found, FEWEST_OF_A_GROUP).separation
    return ratios(images) if separation >= least_separation * separation_of_one_group(len(found)) else None


@dataclass(frozen=True, eq=False)
class _Ratios:
    """Logarithms of ratios of likelihoods, summed over the values in which two groups differ.

    Args:
        columns: Which values, ``int64 [S]``.
        means: Of the rest and of the bearers, ``[2, S]``.
        variances: Likewise.
    """

    columns: Tensor
    means: Tensor
    variances: Tensor

    @classmethod
    def between(cls, bearing: Tensor, rest: Tensor, usual: Tensor) -> _Ratios:
        """Compare two groups of images ``[M, P]``; ``usual`` is the variance of all ``[P]``."""
        counts = torch.tensor([len(rest), len(bearing)])[:, None]
        means = torch.stack([rest.mean(dim=0), bearing.mean(dim=0)])
        own = torch.stack([rest.var(dim=0), bearing.var(dim=0)])
        # Of a few images variances are rough, and small ones by chance too small.
        variances = (own * (counts - 1) + _WEIGHT_OF_ALL * usual) / (counts + _WEIGHT_OF_ALL)
        floor = _LEAST_DEVIATION**2
        z = (means[1] - means[0]).abs() / (variances / counts).sum(dim=0).sqrt().clamp(min=1e-6)
        ratio = ((own[1] + floor) / (own[0] + floor)).log() / (2 / counts).sum().sqrt()
        is_other_spread = ratio.abs() > _LEAST_Z_OF_LIKELIHOOD
        variances[1] = torch.where(is_other_spread, own[1], variances[1])
        columns = (is_other_spread | (z > _LEAST_Z_OF_LIKELIHOOD)).nonzero()[:, 0]
        return cls(columns, means[:, columns], variances[:, columns].clamp(min=floor))

    def __call__(self, images: Tensor) -> Tensor:
        """Return the score of each image, ``[N]`` of ``[N, P]``."""
        values = images[:, self.columns]
        rest, bearing = (
            (values - mean).square() / variance + variance.log()
            for mean, variance in zip(self.means, self.variances, strict=True)
        )
        scores: Tensor = ((rest - bearing) / 2).clamp(-_MOST_OF_A_VALUE, _MOST_OF_A_VALUE).sum(dim=1)
        return scores


def _bearing(scores: Tensor) -> Tensor | None:
    """Return which of some scores are in the upper of two groups, bool; ``None`` where there are too few."""
    if len(scores) < 2 * FEWEST_OF_A_GROUP:
        return None
    bears = scores > two_groups(scores, FEWEST_OF_A_GROUP).middle
    return bears if 2 <= int(bears.sum()) <= len(bears) - 2 else None
