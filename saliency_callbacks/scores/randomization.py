"""From similarities between model states to a verdict on a method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from saliency_callbacks.scores.means import means_of_finite

__all__ = [
    "FLOOR_LIMIT",
    "LEAST_RANGE",
    "Estimate",
    "calibrate",
    "estimate",
    "floor_error",
    "is_certain",
    "verdict",
]

FLOOR_LIMIT = 0.3
"""Signed floor above which two random networks have alike maps: they do not come from the weights."""

LEAST_RANGE = 0.2
"""Least distance of ceiling and floor at which a similarity between them says anything."""

_MOST_INVALID = 0.75

# By as many standard errors a number has to differ from a limit, so that further draws do not change the verdict.
_CERTAIN = 4.0

DEPENDS = "depends on the weights"
DOES_NOT_DEPEND = "does not depend on the weights"


@dataclass(frozen=True)
class Estimate:
    """A similarity over draws and samples.

    Args:
        mean: Mean over the draws of the mean over the samples that have a similarity; NaN where none has.
        std: Standard deviation over the draws, NaN for a single one.
        invalid: Share of all (draw, sample) pairs without a similarity: a map was constant or not finite.
    """

    mean: float
    std: float
    invalid: float


def estimate(values: Tensor) -> Estimate:
    """Return mean and standard deviation over the draws of ``values [draws, N]``."""
    means = means_of_finite(values)
    finite = [mean for mean in means if math.isfinite(mean)]
    invalid = 1 - float(values.isfinite().double().mean()) if values.numel() else 1.0
    if not finite:
        return Estimate(math.nan, math.nan, invalid)
    mean = math.fsum(finite) / len(finite)
    if len(finite) < 2:
        return Estimate(mean, math.nan, invalid)
    variance = math.fsum((value - mean) ** 2 for value in finite) / (len(finite) - 1)
    return Estimate(mean, math.sqrt(variance), invalid)


def calibrate(similarity: float, floor: float, ceiling: float = 1.0) -> float:
    r"""Return how much of the possible similarity is left, c = (s - s₀) / (s₁ - s₀).

    0: as alike as two random networks. 1: as alike as two explanations of one network. It hides a method whose floor
    is high already, so it is never read without the floor.

    Args:
        similarity: s, between the trained and a randomized network.
        floor: s₀, between two randomized networks.
        ceiling: s₁, 1, or for methods that draw noise the similarity between two of their seeds.

    Returns:
        NaN where s₁ - s₀ < 0.2: nothing lies between that could be told apart.
    """
    if not ceiling - floor >= LEAST_RANGE:
        return math.nan
    return (similarity - floor) / (ceiling - floor)


def verdict(similarity: Estimate, floor: Estimate, ceiling: float = 1.0) -> str:
    """Say in words whether a method's maps depend on the weights, from signed Spearman correlations.

    It is a test that is passed or not, never a ranking: pure noise would come first.

    Args:
        similarity: Between the trained and randomized networks.
        floor: Between two randomized networks.
        ceiling: Between two seeds of the method.

    Returns:
        ``depends on the weights``, ``does not depend on the weights``, or ``undecided: …`` with the reason.
    """
    is_known = not math.isnan(similarity.mean) and _invalid(similarity, floor) <= _MOST_INVALID
    if is_known and floor.mean > FLOOR_LIMIT:
        return DOES_NOT_DEPEND
    reason = _obstacle(similarity, floor, ceiling)
    return DEPENDS if reason is None else f"undecided: {reason}"


def floor_error(floors: Tensor, pairs: Sequence[tuple[int, int]]) -> float:
    r"""Return the standard error of a floor over its copies, by the jackknife.

    Pairs that share a copy are not independent of each other, so what is left out is one copy k at a time, with all its
    pairs: SE² = (n - 1) / n · Σₖ (s₋ₖ - mean of all s₋ₖ)².

    Args:
        floors: Similarity of each pair, ``[pairs, N]``.
        pairs: The two copies of each, counted from 0.

    Returns:
        NaN for less than three copies, or where no pair without some copy has a similarity.

    Reference:
        Efron and Stein 1981, Annals of Statistics 9(3).

    Example:
        >>> import torch
        >>> pairs = [(0, 1), (0, 2), (1, 2)]
        >>> round(floor_error(torch.tensor([[0.1], [0.2], [0.3]]), pairs), 4)
        0.1155
    """
    n_copies = 1 + max((copy for pair in pairs for copy in pair), default=0)
    if n_copies < 3:
        return math.nan
    means = means_of_finite(floors)
    without = []
    for copy in range(n_copies):
        left = [mean for pair, mean in zip(pairs, means, strict=True) if copy not in pair and math.isfinite(mean)]
        without.append(math.fsum(left) / len(left) if left else math.nan)
    middle = math.fsum(without) / n_copies
    return math.sqrt((n_copies - 1) / n_copies * math.fsum((one - middle) ** 2 for one in without))


def is_certain(similarity: Tensor, floors: Tensor, pairs: Sequence[tuple[int, int]], ceiling: float = 1.0) -> bool:
    """Return whether further draws would hardly change the verdict.

    What it rests on is then at least four of its standard errors away from every limit, or most maps are constant or
    not finite, so that the verdict stays undecided.

    Args:
        similarity: Between the trained and randomized networks, ``[draws, N]``.
        floors: Between two randomized networks, ``[pairs, N]``.
        pairs: The two networks of each floor.
        ceiling: Between two seeds of the method.

    Example:
        >>> import torch
        >>> pairs = [(0, 1), (0, 2), (1, 2)]
        >>> low, spread = torch.tensor([[0.0], [0.01], [0.02]]), torch.tensor([[0.0], [0.3], [0.6]])
        >>> is_certain(low, low, pairs), is_certain(low, spread, pairs)
        (True, False)
    """
    trained, floor, error = estimate(similarity), estimate(floors), floor_error(floors, pairs)
    if _invalid(trained, floor) > _MOST_INVALID:
        return True
    if not abs(floor.mean - FLOOR_LIMIT) > _CERTAIN * error:
        return False
    if floor.mean > FLOOR_LIMIT:
        return True
    is_range_known = abs(ceiling - floor.mean - LEAST_RANGE) > _CERTAIN * error
    trained_error = trained.std / math.sqrt(len(similarity))
    return is_range_known and abs(trained.mean - FLOOR_LIMIT) > _CERTAIN * trained_error


def _obstacle(similarity: Estimate, floor: Estimate, ceiling: float) -> str | None:
    """Return what stands against a verdict that the maps depend on the weights; ``None`` for nothing."""
    if math.isnan(similarity.mean):
        return "all maps of the trained model, or of the random copies, are constant or not finite"
    if math.isnan(floor.mean):
        return "no two random copies have comparable maps (constant or not finite); raise n_draws"
    worst = _invalid(similarity, floor)
    if worst > _MOST_INVALID:
        return f"{worst:.0%} of the comparisons involve a constant or non-finite map"
    if ceiling - floor.mean < LEAST_RANGE:
        return (
            f"two seeds of the method agree hardly more ({ceiling:.2f}) than two random copies ({floor.mean:.2f}); "
            "use more noise samples"
        )
    if similarity.mean > FLOOR_LIMIT:
        return (
            f"the maps of the trained model resemble those of random copies ({similarity.mean:.2f}), but those of two "
            f"random copies do not resemble each other ({floor.mean:.2f}); is the model trained?"
        )
    return None


def _invalid(similarity: Estimate, floor: Estimate) -> float:
    return max(similarity.invalid, floor.invalid)
