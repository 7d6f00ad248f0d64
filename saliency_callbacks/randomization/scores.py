"""A test's result as tagged scores."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.randomization.result import PRIMARY, RandomizationResult

__all__ = ["sample_scores", "scores"]


def scores(result: RandomizationResult, namespace: str) -> dict[str, float]:
    """Return tag → number; see the table of ``RandomizationTest``."""
    found: dict[str, float] = {}
    for method in result.methods:
        tag = f"{namespace}/{method}"
        similarity, floor = result.similarity(method), result.floor(method)
        found[f"{tag}/similarity"] = similarity.mean
        found[f"{tag}/similarity_std"] = similarity.std
        found[f"{tag}/floor"] = floor.mean
        found[f"{tag}/floor_std"] = floor.std
        found[f"{tag}/calibrated"] = result.calibrated(method)
        found[f"{tag}/calibrated_std"] = result.calibrated_std(method)
        found[f"{tag}/drift"] = 1 - similarity.mean
        if result.random_logit:
            found[f"{tag}/random_logit"] = result.logit(method)
        for name in result.similarities:
            if name != PRIMARY:
                similarity, floor = result.similarity(method, name), result.floor(method, name)
                found[f"{tag}/{name}"], found[f"{tag}/{name}_std"] = similarity.mean, similarity.std
                found[f"{tag}/{name}_floor"], found[f"{tag}/{name}_floor_std"] = floor.mean, floor.std
    return found


def sample_scores(result: RandomizationResult, namespace: str) -> dict[str, Tensor]:
    """Return tag → the values ``[N]`` behind it: means over the draws that have one."""
    found: dict[str, Tensor] = {}
    for method in result.methods:
        found[f"{namespace}/{method}/similarity"] = torch.nanmean(result.last_values(method), dim=0)
        if result.random_logit:
            found[f"{namespace}/{method}/random_logit"] = result.random_logit[PRIMARY][method]
    return found
