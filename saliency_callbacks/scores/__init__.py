"""Scores: from attributions to one number a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from saliency_callbacks.scores.concentration import concentration
from saliency_callbacks.scores.degeneracy import describe_degenerate
from saliency_callbacks.scores.drift import drift, ranks
from saliency_callbacks.scores.localization import by_group, localization
from saliency_callbacks.scores.means import mean_of_finite
from saliency_callbacks.scores.overlap import overlap
from saliency_callbacks.scores.similarities import SIMILARITIES, Similarity, resolve_similarities
from saliency_callbacks.scores.top_tokens import TopToken, top_tokens, top_tokens_table
from saliency_callbacks.types import Attribution

__all__ = [
    "MAP_SCORES",
    "REGION_SCORES",
    "SIMILARITIES",
    "Similarity",
    "TopToken",
    "by_group",
    "concentration",
    "describe_degenerate",
    "drift",
    "localization",
    "mean_of_finite",
    "overlap",
    "ranks",
    "resolve_similarities",
    "top_tokens",
    "top_tokens_table",
]

MAP_SCORES: tuple[Callable[[Attribution], Mapping[str, Tensor]], ...] = (concentration,)
"""What is computed of every map: from the maps to last part of the tag → value of each sample ``[N]``."""

REGION_SCORES: tuple[Callable[[Attribution, Tensor], Mapping[str, Tensor]], ...] = (localization,)
"""The same where the probe has masks, given as well; these are also logged by class and by group."""
