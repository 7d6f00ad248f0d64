"""How far a class stands apart from the others, measured by how far these stand from each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Standing", "class_means", "class_z", "deviation", "normal_scores", "over_places", "standing"]

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
    classes = labels.unique().tolist()
    means = torch.stack([values[labels == index].mean(dim=0) for index in classes])
    variances = torch.stack([values[labels == index].var(dim=0, unbiased=False) for index in classes])
    return means, variances, torch.tensor([int((labels == index).sum()) for index in classes])


def deviation(means: Tensor, variances: Tensor, counts: Tensor, row: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return how class c differs from the median of the others at every place, in values, as z, and their variance.

    The spread that z is measured by is that within classes, that between the other classes, and that of the difference
    itself over all places, so that a place has to stand out from the rest of the image as well.

    Args:
        means: Mean of each class, ``[K, …]``.
        variances: Variance within each class.
        counts: Samples of each class, ``[K]``.
        row: Which of them is c.
    """
    others = [other for other in range(len(means)) if other != row]
    middle = means[others].median(dim=0).values
    difference = means[row] - middle
    between = _AS_SIGMA * (means[others] - middle).abs().median(dim=0).values
    within = variances[others].median(dim=0).values
    error = (within / counts[row] + between.square() + over_places(difference).square()).sqrt()
    return difference, difference / error.clamp(min=1e-4), within


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
    rows = []
    for row in range(len(means)):
        others = [other for other in range(len(means)) if other != row]
        middle = means[others].median(dim=0).values
        between = _AS_SIGMA * (means[others] - middle).abs().median(dim=0).values
        within = variances[others].median(dim=0).values
        error = (within / counts[row] + between.square()).sqrt().clamp(min=1e-3)
        rows.append((means[row] - middle) / error)
    return torch.stack(rows)
