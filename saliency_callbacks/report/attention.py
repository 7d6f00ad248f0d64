"""Which samples deserve a look, and why, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.report.frames import Frame, Monitor, moment_of
from saliency_callbacks.types import ProbeView

__all__ = ["rank_samples"]

Reason = tuple[float, str, int, str | None]
"""How urgent it is, what to say, the frame to look at, and the method, where one is meant."""

_LEAST_DRIFT = 0.25
_LEAST_INSIDE = 0.5


def rank_samples(monitor: Monitor) -> list[dict[str, Any]]:
    """Return the samples for which there is something to say, most urgent first.

    The start is left out of comparisons where there is more: nobody wonders why an untrained network is wrong.

    Returns:
        For each sample ``{"sample": position, "reasons": [{"text", "frame", "method"}]}``.
    """
    if not monitor.frames:
        return []
    by_sample: dict[int, list[Reason]] = {}
    for find in (_wrong_or_flipped, _moved_most, _outside_mask, _shows_nothing):
        for sample, reason in find(monitor):
            by_sample.setdefault(sample, []).append(reason)
    ranked = sorted(by_sample.items(), key=lambda item: (-sum(reason[0] for reason in item[1]), item[0]))
    return [
        {
            "sample": sample,
            "reasons": [
                {"text": text, "frame": frame, "method": method}
                for _, text, frame, method in sorted(reasons, key=lambda reason: -reason[0])
            ],
        }
        for sample, reasons in ranked
    ]


def class_name(probe: ProbeView, index: int) -> str:
    """Return the name of a class, or its number."""
    names = probe.class_names
    return names[index] if names is not None and 0 <= index < len(names) else str(index)


def _trained(monitor: Monitor) -> list[tuple[int, Frame]]:
    frames = list(enumerate(monitor.frames))
    return [item for item in frames if item[1].entry["stage"] != "initial"] or frames


def _wrong_or_flipped(monitor: Monitor) -> Iterator[tuple[int, Reason]]:
    probe = monitor.probe
    judged = [(place, frame) for place, frame in _trained(monitor) if frame.predictions is not None]
    if not judged:
        return
    place, last = judged[-1]
    for sample in range(len(probe.ids)):
        history = [int(frame.predictions[sample]) for _, frame in judged if frame.predictions is not None]
        now, label = history[-1], None if probe.labels is None else int(probe.labels[sample])
        name, sure = class_name(probe, now), _confidence(last, sample)
        if label is not None and now != label:
            lost = label in history
            text = f"Predicted {name}{sure} but labelled {class_name(probe, label)}"
            yield sample, (3.0 if lost else 2.0, text + (", and it was right before." if lost else "."), place, None)
        elif history[0] != now:
            turn = next(index for index, value in enumerate(history) if value == now)
            when = moment_of(judged[turn][1].entry)
            text = f"The prediction went from {class_name(probe, history[0])} to {name} by {when}."
            yield sample, (1.0, text, judged[turn][0], None)
        changes = sum(before != after for before, after in pairwise(history))
        if changes > 2:
            yield sample, (0.5, f"The prediction changed {changes} times.", place, None)


def _moved_most(monitor: Monitor) -> Iterator[tuple[int, Reason]]:
    """Yield each sample's largest step, where it is large and above what is usual for that method."""
    frames = _trained(monitor)[1:]
    best: dict[int, Reason] = {}
    for method in monitor.methods:
        steps = [(place, _values(frame, method, "drift_previous")) for place, frame in frames]
        known = [(place, values) for place, values in steps if values is not None]
        if not known:
            continue
        moves = torch.stack([values for _, values in known])
        usual = float(moves.nanmedian())
        for sample in range(moves.shape[1]):
            column = torch.nan_to_num(moves[:, sample], nan=-1.0)
            largest = float(column.max())
            if largest < max(_LEAST_DRIFT, 2 * usual):
                continue
            place = known[int(column.argmax())][0]
            text = (
                f"Its {method} map moved most by {moment_of(monitor.frames[place].entry)}: drift {largest:.2f}, "
                f"where {usual:.2f} is usual."
            )
            if sample not in best or largest / 2 > best[sample][0]:
                best[sample] = (largest / 2, text, place, method)
    yield from best.items()


def _outside_mask(monitor: Monitor) -> Iterator[tuple[int, Reason]]:
    place = len(monitor.frames) - 1
    last = monitor.frames[place]
    for sample in range(len(monitor.probe.ids)):
        inside = {}
        for method in last.maps:
            values = _values(last, method, "region_mass")
            if values is not None and math.isfinite(float(values[sample])):
                inside[method] = float(values[sample])
        if inside and max(inside.values()) < _LEAST_INSIDE:
            method = max(inside, key=lambda name: inside[name])
            rest = "" if len(inside) == 1 else ", more of the others"
            outside = f"{1 - inside[method]:.0%} of its {method} map"
            text = f"{outside} lies outside the mask at {moment_of(last.entry)}{rest}."
            yield sample, (_LEAST_INSIDE * (1 - inside[method]), text, place, method)


def _shows_nothing(monitor: Monitor) -> Iterator[tuple[int, Reason]]:
    for place, frame in _trained(monitor)[-1:]:
        for method, maps in frame.maps.items():
            for sample in maps.degenerate.nonzero()[:, 0].tolist():
                yield sample, (0.8, f"Its {method} map shows nothing at {moment_of(frame.entry)}.", place, method)


def _confidence(frame: Frame, sample: int) -> str:
    return "" if frame.confidences is None else f" ({float(frame.confidences[sample]):.0%} sure)"


def _values(frame: Frame, method: str, metric: str) -> Tensor | None:
    ending = f"/{method}/{metric}"
    return next((values for tag, values in frame.samples.items() if tag.endswith(ending)), None)
