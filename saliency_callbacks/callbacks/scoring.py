"""From the maps of one observation to its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.callbacks.history import MethodHistory
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.targets import Labels, Target
from saliency_callbacks.scores import concentration, drift, localization, mean_of_finite, ranks
from saliency_callbacks.types import Attribution

__all__ = ["Scored", "predict", "resolve_target", "score"]


@dataclass(frozen=True)
class Scored:
    """The scores of one observation, and what the next one compares with.

    Args:
        scores: Tag → number.
        sample_scores: Tag → the values ``[N]`` behind it.
        ranks: Method → ranks of its signed maps, ``[N, P]``.
    """

    scores: dict[str, float]
    sample_scores: dict[str, Tensor]
    ranks: dict[str, Tensor]


def resolve_target(given: Any, probe: ProbeBatch, pinned: Tensor | None) -> Target:
    """Return what is explained from now on.

    Args:
        given: The callback's ``target``; ``None`` for the labels where the probe has them, else the first prediction.
        probe: The frozen probe.
        pinned: Classes predicted at the first observation ``[N]``; ``None`` before it.
    """
    if given is None:
        given = "initial_prediction" if probe.labels is None else "label"
    if isinstance(given, str) and given == "label":
        assert probe.labels is not None, "checked when the probe was frozen"
        return Labels(probe.labels)
    if isinstance(given, str) and given == "initial_prediction":
        return "predicted" if pinned is None else pinned
    target: Target = given
    return target


def predict(logits: Tensor | None, labels: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return predicted class and its probability, ``[N]`` each; ``None`` for models that do not classify.

    A single logit is read as two classes where there are labels, and as a regression where there are none.
    """
    if logits is None:
        return None, None
    logits = logits.detach().float()
    if logits.shape[1] == 1:
        if labels is None:
            return None, None
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    confidence, prediction = logits.softmax(dim=1).max(dim=1)
    return prediction.cpu(), confidence.cpu()


def score(
    attributions: Mapping[str, Attribution],
    histories: Mapping[str, MethodHistory],
    probe: ProbeBatch,
    predictions: tuple[Tensor | None, Tensor | None],
    namespace: str,
) -> Scored:
    """Score the maps of one observation against the earlier ones; nothing is remembered here."""
    sample_scores: dict[str, Tensor] = {}
    all_ranks: dict[str, Tensor] = {}
    for name, attribution in attributions.items():
        found = _method_scores(attribution, histories.get(name, MethodHistory()), probe.masks)
        all_ranks[name] = found.pop("ranks")
        sample_scores.update({f"{namespace}/{name}/{tag}": value for tag, value in found.items()})
    predicted, confidence = predictions
    if predicted is not None and probe.labels is not None:
        sample_scores[f"{namespace}/probe_accuracy"] = (predicted == probe.labels).float()
    if confidence is not None:
        sample_scores[f"{namespace}/probe_confidence"] = confidence
    return Scored({tag: mean_of_finite(value) for tag, value in sample_scores.items()}, sample_scores, all_ranks)


def _method_scores(attribution: Attribution, history: MethodHistory, masks: Tensor | None) -> dict[str, Tensor]:
    current = ranks(attribution)
    found = {"ranks": current, **concentration(attribution)}
    if masks is not None:
        found.update(localization(attribution, masks))
    if history.previous is not None and history.initial is not None:
        found["drift_previous"] = drift(current, history.previous)
        found["drift_initial"] = drift(current, history.initial)
    return found
