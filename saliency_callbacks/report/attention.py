"""Which samples are worth a look, and why, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from saliency_callbacks.report.monitors import ExplainedObservation, Monitor, moment_of
from saliency_callbacks.sinks.disk.array_file import Array
from saliency_callbacks.sinks.disk.arrays import StoredProbe

__all__ = ["rank_samples"]

Reason = tuple[float, str, int, str | None]
"""How urgent it is, what to say, the position of the observation to look at, and the method, if there is one."""

_LEAST_DRIFT = 0.25
_CHANCE = 1.0
_URGENCY_OF_MISSING = 0.5


def rank_samples(monitor: Monitor) -> list[dict[str, Any]]:
    """Return the samples that something is to be said about, most urgent first.

    The untrained network is left out of comparisons as soon as there are later observations.

    Returns:
        For each sample ``{"sample": position, "reasons": [{"text", "frame", "method"}]}``.
    """
    if not monitor.observations:
        return []
    by_sample: dict[int, list[Reason]] = {}
    for find in (_wrong_or_flipped, _moved_most, _misses_mask, _shows_nothing):
        for sample, reason in find(monitor):
            by_sample.setdefault(sample, []).append(reason)
    ranked = sorted(by_sample.items(), key=lambda item: (-sum(reason[0] for reason in item[1]), item[0]))
    return [
        {
            "sample": sample,
            "reasons": [
                {"text": text, "frame": position, "method": method}
                for _, text, position, method in sorted(reasons, key=lambda reason: -reason[0])
            ],
        }
        for sample, reasons in ranked
    ]


def class_name(probe: StoredProbe, index: int) -> str:
    """Return the name of a class, or its number."""
    names = probe.class_names
    return names[index] if names is not None and 0 <= index < len(names) else str(index)


def _trained(monitor: Monitor) -> list[tuple[int, ExplainedObservation]]:
    observations = list(enumerate(monitor.observations))
    return [item for item in observations if item[1].entry["stage"] != "initial"] or observations


def _wrong_or_flipped(monitor: Monitor) -> Iterator[tuple[int, Reason]]:
    probe = monitor.probe
    judged = [(position, one) for position, one in _trained(monitor) if one.predictions is not None]
    if not judged:
        return
    position, last = judged[-1]
    for sample in range(len(probe.ids)):
        history = [int(one.predictions[sample]) for _, one in judged if one.predictions is not None]
        now, label = history[-1], None if probe.labels is None else int(probe.labels[sample])
        name, sure = class_name(probe, now), _confidence(last, sample)
        if label is not None and now != label:
            lost = label in history
            text = f"Predicted as {name}{sure} but labeled {class_name(probe, label)}"
            yield sample, (3.0 if lost else 2.0, text + ("; it was correct before." if lost else "."), position, None)
        elif history[0] != now:
            turn = next(index for index, value in enumerate(history) if value == now)
            when = moment_of(judged[turn][1].entry)
            text = f"The prediction changed from {class_name(probe, history[0])} to {name} at {when}."
            yield sample, (1.0, text, judged[turn][0], None)
        changes = sum(before != after for before, after in pairwise(history))
        if changes > 2:
            yield sample, (0.5, f"The prediction changed {changes} times.", position, None)


def _moved_most(monitor: Monitor) -> Iterator[tuple[int, Reason]]:
    """Yield each sample's largest step, if it is large and above what is usual for that method."""
    observations = _trained(monitor)[1:]
    best: dict[int, Reason] = {}
    for method in monitor.methods:
        steps = [(position, _values(observation, method, "drift_previous")) for position, observation in observations]
        known = [(position, values) for position, values in steps if values is not None]
        if not known:
            continue
        moves = np.stack([values for _, values in known])
        usual = _median(moves)
        for sample in range(moves.shape[1]):
            column = np.nan_to_num(moves[:, sample], nan=-1.0)
            largest = float(column.max())
            if largest < max(_LEAST_DRIFT, 2 * usual):
                continue
            position = known[int(column.argmax())][0]
            when = moment_of(monitor.observations[position].entry)
            text = f"Its {method} map changed most at {when}: drift {largest:.2f}, against a median of {usual:.2f}."
            if sample not in best or largest / 2 > best[sample][0]:
                best[sample] = (largest / 2, text, position, method)
    yield from best.items()


def _misses_mask(monitor: Monitor) -> Iterator[tuple[int, Reason]]:
    """Yield samples of whose mask every map shows less than chance would: a small mask holds little of any map."""
    position = len(monitor.observations) - 1
    last = monitor.observations[position]
    known = {method: _values(last, method, "region_lift") for method in last.scales}
    for sample in range(len(monitor.probe.ids)):
        lifts = {method: float(values[sample]) for method, values in known.items() if values is not None}
        lifts = {method: lift for method, lift in lifts.items() if math.isfinite(lift)}
        if lifts and max(lifts.values()) < _CHANCE:
            method = max(lifts, key=lambda name: lifts[name])
            rest = "; no method does better" if len(known) > 1 else ""
            text = (
                f"Its {method} map puts less on the mask than chance would at {moment_of(last.entry)} (lift "
                f"{lifts[method]:.2f}{rest})."
            )
            yield sample, (_URGENCY_OF_MISSING * (_CHANCE - lifts[method]), text, position, method)


def _shows_nothing(monitor: Monitor) -> Iterator[tuple[int, Reason]]:
    for position, observation in _trained(monitor)[-1:]:
        for method, scales in observation.scales.items():
            for sample in scales.degenerate.nonzero()[0].tolist():
                yield (
                    sample,
                    (0.8, f"Its {method} map is empty at {moment_of(observation.entry)}.", position, method),
                )


def _median(values: Array) -> float:
    """Return the lower of the two middle values, of those that are numbers."""
    known = np.sort(values[~np.isnan(values)])
    return float(known[(len(known) - 1) // 2]) if len(known) else math.nan


def _confidence(observation: ExplainedObservation, sample: int) -> str:
    return "" if observation.confidences is None else f" ({float(observation.confidences[sample]):.0%} confidence)"


def _values(observation: ExplainedObservation, method: str, metric: str) -> Array | None:
    ending = f"/{method}/{metric}"
    return next((values for tag, values in observation.samples.items() if tag.endswith(ending)), None)
