"""From the maps of one observation to its scores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.saliency.history import MethodHistory
from saliency_callbacks.errors import DegenerateMapWarning
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.scores import (
    MAP_SCORES,
    REGION_SCORES,
    by_group,
    describe_degenerate,
    drift,
    mean_of_finite,
    overlap,
    ranks,
)
from saliency_callbacks.targets.link import Predictions
from saliency_callbacks.types import Attribution, Outlines

__all__ = [
    "DRIFTS",
    "MAX_CLASSES",
    "SampleScores",
    "Scored",
    "mean_scores",
    "sample_scores",
    "score",
    "warn_of_degenerate_maps",
]

DRIFTS = ("drift_previous", "drift_initial")
"""Scores that need an earlier observation."""

MAX_CLASSES = 20
"""Of a probe with more classes there are no scores by class: a dashboard would drown in them."""


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


class SampleScores(NamedTuple):
    """Scores of each sample.

    Args:
        values: Tag → the value of each sample ``[N]``.
        of_regions: Tags of those that say how maps relate to masks.
    """

    values: dict[str, Tensor]
    of_regions: frozenset[str]


def score(
    attributions: Mapping[str, Attribution],
    histories: Mapping[str, MethodHistory],
    probe: ProbeBatch,
    predictions: Predictions,
    namespace: str,
    class_names: Sequence[str] | None = None,
    *,
    localized: Mapping[str, Outlines] | None = None,
) -> Scored:
    """Score the maps of one observation against the earlier ones; nothing is remembered here.

    Args:
        attributions: Method → its maps.
        histories: Method → what its maps are compared with.
        probe: What is explained.
        predictions: What the model answers.
        namespace: First part of every tag.
        class_names: Names of the classes, for the scores of each; the probe's by default.
        localized: Method → the outlines that were found in its maps.
    """
    all_ranks = {name: ranks(attribution) for name, attribution in attributions.items()}
    drifts = {name: _drifts(found, histories.get(name, MethodHistory())) for name, found in all_ranks.items()}
    found = sample_scores(attributions, probe.masks, predictions, namespace, drifts, localized or {})
    names = probe.class_names if class_names is None else class_names
    return Scored(mean_scores(found, probe.labels, probe.groups, names), found.values, all_ranks)


def sample_scores(
    attributions: Mapping[str, Attribution],
    masks: Tensor | None,
    predictions: Predictions,
    namespace: str,
    drifts: Mapping[str, Mapping[str, Tensor]],
    localized: Mapping[str, Outlines],
) -> SampleScores:
    """Return the scores of each sample.

    Args:
        attributions: Method → its maps.
        masks: The region of each sample.
        predictions: What the model answers.
        namespace: First part of every tag.
        drifts: Method → its drifts.
        localized: Method → the outlines that were found in its maps.
    """
    scores: dict[str, Tensor] = {}
    of_regions: set[str] = set()
    for name, attribution in attributions.items():
        in_regions = _in_regions(attribution, masks, localized.get(name))
        found = {**_of_maps(attribution), **in_regions, **drifts.get(name, {})}
        scores.update({f"{namespace}/{name}/{tag}": value for tag, value in found.items()})
        of_regions.update(f"{namespace}/{name}/{tag}" for tag in in_regions)
    if predictions.correct is not None:
        scores[f"{namespace}/probe_accuracy"] = predictions.correct
    if predictions.confidences is not None:
        scores[f"{namespace}/probe_confidence"] = predictions.confidences
    return SampleScores(scores, frozenset(of_regions))


def mean_scores(
    scores: SampleScores,
    labels: Tensor | None,
    groups: Sequence[str] | None,
    class_names: Sequence[str] | None,
) -> dict[str, float]:
    """Return tag → the mean over the samples that have a score, and of regions also over those of a class or group.

    Args:
        scores: The values of each sample.
        labels: Class of each sample ``[N]``.
        groups: Group of each sample.
        class_names: Names of the classes.
    """
    means = {tag: mean_of_finite(value) for tag, value in scores.values.items()}
    divisions = [_class_tags(labels, () if class_names is None else class_names), _group_tags(groups)]
    parts = {
        f"{tag}/{name}": mean_of_finite(part)
        for tag, values in scores.values.items()
        if tag in scores.of_regions
        for names in divisions
        if names
        for name, part in by_group(values, names).items()
    }
    return means | parts


def _of_maps(attribution: Attribution) -> dict[str, Tensor]:
    return {tag: value for compute in MAP_SCORES for tag, value in compute(attribution).items()}


def _in_regions(attribution: Attribution, masks: Tensor | None, found: Outlines | None) -> dict[str, Tensor]:
    if masks is None:
        return {}
    scores = {tag: value for compute in REGION_SCORES for tag, value in compute(attribution, masks).items()}
    return scores if found is None else {**scores, **overlap(attribution, found, masks)}


def _drifts(current: Tensor, history: MethodHistory) -> dict[str, Tensor]:
    if history.previous is None or history.initial is None:
        return {}
    return {"drift_previous": drift(current, history.previous), "drift_initial": drift(current, history.initial)}


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


def warn_of_degenerate_maps(attributions: Mapping[str, Attribution], probe: ProbeBatch) -> None:
    """Warn of maps that are zero, constant or not finite, once for each method and layer."""
    for attribution in attributions.values():
        message = describe_degenerate(attribution, probe.ids)
        if message:
            is_finite = bool(attribution.magnitude.isfinite().all())
            kind = ("degenerate maps", probe.fingerprint, attribution.method, attribution.layer, is_finite)
            notices.warn(kind, f"{message}. Further epochs are not reported", DegenerateMapWarning)
