"""From the maps of one observation to its scores."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from saliency_callbacks.callbacks.saliency.history import MethodHistory
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.scores import by_group, concentration, drift, localization, mean_of_finite, ranks
from saliency_callbacks.types import Attribution

__all__ = ["MAX_CLASSES", "Scored", "score"]

MAX_CLASSES = 20
"""Of a probe with more classes there are no scores by class: a dashboard would drown in them."""

_SCORED_BY_GROUP = ("region_mass", "region_lift", "region_rank_accuracy", "region_pointing_game", "region_auc")


@dataclass(frozen=True)
class Scored:
    """The scores of one observation, and what the next one compares with.

    Args:
        scores: Tag → number.
        sample_scores: Tag → the values ``[N]`` behind it. The scores of a class or group are means over some of those
            behind the score of all, and have none of their own.
        ranks: Method → ranks of its signed maps, ``[N, P]``.
    """

    scores: dict[str, float]
    sample_scores: dict[str, Tensor]
    ranks: dict[str, Tensor]


def score(
    attributions: Mapping[str, Attribution],
    histories: Mapping[str, MethodHistory],
    probe: ProbeBatch,
    predictions: tuple[Tensor | None, Tensor | None],
    namespace: str,
    class_names: Sequence[str] | None = None,
) -> Scored:
    """Score the maps of one observation against the earlier ones; nothing is remembered here.

    Args:
        attributions: Method → its maps.
        histories: Method → what its maps are compared with.
        probe: What is explained.
        predictions: Predicted class and its probability ``[N]``.
        namespace: First part of every tag.
        class_names: Names of the classes, for the scores of each; the probe's by default.
    """
    sample_scores: dict[str, Tensor] = {}
    all_ranks: dict[str, Tensor] = {}
    for name, attribution in attributions.items():
        found = _method_scores(attribution, histories.get(name, MethodHistory()), probe.masks)
        all_ranks[name] = found.pop("ranks")
        sample_scores.update({f"{namespace}/{name}/{tag}": value for tag, value in found.items()})
    predicted, confidence = predictions
    if predicted is not None and probe.labels is not None:
        right = (predicted == probe.labels).float()
        # Where the logits are not finite, the predicted class is none; it is not the first one by chance.
        sample_scores[f"{namespace}/probe_accuracy"] = (
            right if confidence is None else right.masked_fill(~confidence.isfinite(), math.nan)
        )
    if confidence is not None:
        sample_scores[f"{namespace}/probe_confidence"] = confidence
    scores = {tag: mean_of_finite(value) for tag, value in sample_scores.items()}
    names = probe.class_names if class_names is None else class_names
    scores.update(_partial_scores(sample_scores, probe, () if names is None else names))
    return Scored(scores, sample_scores, all_ranks)


def _method_scores(attribution: Attribution, history: MethodHistory, masks: Tensor | None) -> dict[str, Tensor]:
    current = ranks(attribution)
    found = {"ranks": current, **concentration(attribution)}
    if masks is not None:
        found.update(localization(attribution, masks))
    if history.previous is not None and history.initial is not None:
        found["drift_previous"] = drift(current, history.previous)
        found["drift_initial"] = drift(current, history.initial)
    return found


def _partial_scores(
    sample_scores: Mapping[str, Tensor], probe: ProbeBatch, class_names: Sequence[str]
) -> dict[str, float]:
    """Return the region scores of the samples of each class and of each group."""
    if probe.masks is None:
        return {}
    divisions = [_class_tags(probe.labels, class_names), _group_tags(probe.groups)]
    return {
        f"{tag}/{name}": mean_of_finite(part)
        for tag, values in sample_scores.items()
        if tag.endswith(tuple(f"/{score}" for score in _SCORED_BY_GROUP))
        for names in divisions
        if names
        for name, part in by_group(values, names).items()
    }


def _class_tags(labels: Tensor | None, class_names: Sequence[str]) -> list[str]:
    """Return the last part of the tags of each sample's class, or nothing where there are too many classes."""
    classes = [] if labels is None else labels.tolist()
    if len(set(classes)) > MAX_CLASSES:
        return []
    # All names, not only those in the probe: what a class is called must not depend on who else is there.
    names = {index: str(name) for index, name in enumerate(class_names)}
    tags = _distinct({**{index: str(index) for index in sorted(set(classes))}, **names})
    return [f"class_{tags[index]}" for index in classes]


def _group_tags(groups: Sequence[str] | None) -> list[str]:
    """Return the last part of the tags of each sample's group."""
    names = dict(enumerate(dict.fromkeys(groups or ())))
    tags = _distinct(names)
    by_name = {name: f"group_{tags[index]}" for index, name in names.items()}
    return [by_name[name] for name in groups or ()]


def _distinct(names: Mapping[int, str]) -> dict[int, str]:
    """Return names that are fit for a tag; those that would be the same get their index."""
    fit = {index: _fit_for_a_tag(name) or str(index) for index, name in names.items()}
    numbers = Counter(fit.values())
    used = set(numbers)
    for index, name in fit.items():
        if numbers[name] > 1:
            fit[index] = f"{name}_{index}"
            while fit[index] in used:
                fit[index] += "_"
            used.add(fit[index])
    return fit


def _fit_for_a_tag(name: str) -> str:
    fit = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
    return fit if fit.strip("_") else ""
