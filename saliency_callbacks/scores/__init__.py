"""Scores: from attributions to one number a sample."""

from saliency_callbacks.scores.concentration import concentration
from saliency_callbacks.scores.degeneracy import describe_degenerate
from saliency_callbacks.scores.drift import drift, ranks
from saliency_callbacks.scores.localization import by_group, localization
from saliency_callbacks.scores.means import mean_of_finite
from saliency_callbacks.scores.similarities import SIMILARITIES, Similarity, resolve_similarities
from saliency_callbacks.scores.top_tokens import TopToken, top_tokens, top_tokens_table

__all__ = [
    "SIMILARITIES",
    "Similarity",
    "TopToken",
    "by_group",
    "concentration",
    "describe_degenerate",
    "drift",
    "localization",
    "mean_of_finite",
    "ranks",
    "resolve_similarities",
    "top_tokens",
    "top_tokens_table",
]
