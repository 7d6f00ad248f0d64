"""From similarities between model states to a verdict on a method."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from saliency_callbacks.scores.means import mean_of_finite

__all__ = ["FLOOR_LIMIT", "LEAST_RANGE", "Estimate", "calibrate", "estimate", "verdict"]

FLOOR_LIMIT = 0.3
"""Signed floor above which two random networks have alike maps: they do not come from the weights."""

LEAST_RANGE = 0.2
"""Least distance of ceiling and floor at which a similarity between them says anything."""

_MOST_INVALID = 0.75

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
    means = [mean_of_finite(draw) for draw in values]
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


def _obstacle(similarity: Estimate, floor: Estimate, ceiling: float) -> str | None:
    """Return what stands against a verdict that the maps depend on the weights; ``None`` for nothing."""
    if math.isnan(similarity.mean):
        return "every map of the trained weights, or of random ones, is constant or not finite"
    if math.isnan(floor.mean):
        return "no two random weights gave maps that compare (constant or not finite); raise n_draws"
    worst = _invalid(similarity, floor)
    if worst > _MOST_INVALID:
        return f"{worst:.0%} of the comparisons have a constant or non-finite map"
    if ceiling - floor.mean < LEAST_RANGE:
        return f"two seeds of the method itself agree by no more than {ceiling:.2f}; use more samples"
    if similarity.mean > FLOOR_LIMIT:
        return (
            f"maps of the trained and of random weights are alike ({similarity.mean:.2f}), those of two random weights "
            f"are not ({floor.mean:.2f}); is the network trained?"
        )
    return None


def _invalid(similarity: Estimate, floor: Estimate) -> float:
    return max(similarity.invalid, floor.invalid)
