"""How far a class stands apart from the others, measured by how far these stand from each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.functional.groups.others import medians_and_spreads_of_others, medians_of_others

__all__ = ["Standing", "class_means", "class_z", "deviations", "normal_scores", "over_places", "standing"]

_AS_SIGMA = 1.4826
"""The standard deviation of a normal distribution, in median absolute deviations."""


@dataclass(frozen=True)
class Standing:
    r"""Where class c is among the classes.

    Args:
        z: :math:`(m_c - \tilde m) / \sqrt{\sigma_b^2 + \sigma_w^2 / n_c}`, with the median :math:`\tilde m` and the
            robust spread :math:`\sigma_b` of the means of the other classes, and the median standard deviation
            :math:`\sigma_w` within them.
        gap: How far c is beyond the next class, over the range of the others; infinite for a single other one.
        usual: The median of the means of the other classes.
    """

    z: float
    gap: float
    usual: float


def standing(values: Tensor, labels: Tensor, index: int) -> Standing:
    """Return how far a class stands above the others.

    Args:
        values: One value a sample, ``[N]``.
        labels: ``int64 [N]``.
        index: The class c.
    """
    own = values[labels == index].double()
    groups = [values[labels == other].double() for other in labels.unique().tolist() if other != index]
    means = torch.stack([group.mean() for group in groups])
    middle = means.median()
    between = _AS_SIGMA * (means - middle).abs().median()
    within = torch.stack([group.std() for group in groups if len(group) > 1]).median()
    error = (between.square() + within.square() / len(own)).sqrt().clamp(min=torch.finfo(torch.double).tiny)
    scope = means.max() - means.min()
    gap = (own.mean() - means.max()) / scope if len(groups) > 1 else torch.tensor(torch.inf)
    return Standing(float((own.mean() - middle) / error), float(gap), float(middle))


def class_means(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance of each class, ``[K, …]`` each, and the number of its samples ``[K]``.

    Args:
        values: ``[N, …]``.
        labels: ``int64 [N]``; the classes are in the order of their indices.
    """
    groups = [values[labels == index] for index in labels.unique().tolist()]
    means = torch.stack([group.mean(dim=0) for group in groups])
    variances = torch.stack([group.var(dim=0, unbiased=False) for group in groups])
    return means, variances, torch.tensor([len(group) for group in groups])


def deviations(means: Tensor, variances: Tensor, counts: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield how each class differs from the median of the others at every place: in values, as z, and their variance.

    The spread that z is measured by is that within classes, that between the other classes, and that of the difference
    itself over all places, so that a place has to stand out from the rest of the image as well.

    Args:
        means: Mean of each class, ``[K, …]``.
        variances: Variance within each class.
        counts: Samples of each class, ``[K]``.
    """
    for difference, between, within, count in zip(*_beside_others(means, variances), counts, strict=True):
        error = (within / count + between.square() + over_places(difference).square()).sqrt()
        yield difference, difference / error.clamp(min=1e-4), within


def _beside_others(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return each class's difference from the others' median, their robust spread and the variance within them."""
    middle, spread = medians_and_spreads_of_others(means)
    return means - middle, _AS_SIGMA * spread, medians_of_others(variances)


def over_places(difference: Tensor) -> Tensor:
    """Return the robust spread of a difference over all places."""
    return _AS_SIGMA * (difference - difference.median()).abs().median()


def normal_scores(values: Tensor) -> Tensor:
    """Return the normal quantiles of ranks over samples, which outliers and the shape of a distribution leave alone.

    Args:
        values: ``[N, P]``; each column is ranked alone, equal values share their mean rank.
    """
    columns = values.double().T.contiguous()
    ordered = columns.sort(dim=1).values
    below = torch.searchsorted(ordered, columns)
    up_to = torch.searchsorted(ordered, columns, right=True)
    scores: Tensor = torch.special.ndtri((below + up_to).T.double() / (2 * len(values)))
    return scores


def class_z(scores: Tensor, labels: Tensor) -> Tensor:
    """Return how far each class stands above the others in each column, as :func:`standing` does.

    Args:
        scores: ``[N, P]``.
        labels: ``int64 [N]``.

    Returns:
        ``[K, P]``, the classes in the order of their indices.
    """
    means, variances, counts = class_means(scores, labels)
    difference, between, within = _beside_others(means, variances)
    z: Tensor = difference / (within / counts[:, None] + between.square()).sqrt().clamp(min=1e-3)
    return z
