"""Scores of an archive → charts: one a metric, one line a method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from saliency_callbacks.report.runs import Archive
from saliency_callbacks.sinks.archive import Observation

__all__ = ["charts_of", "split_tag"]


@dataclass(frozen=True)
class Metric:
    """How a score is shown: its title, how to read it, the range of its axis where that is fixed, and whether first."""

    title: str
    hint: str
    low: float | None = None
    high: float | None = None
    first: bool = False


_METRICS = {
    "drift_previous": Metric("Drift since the last observation", "0 the map stayed, 1 unrelated, 2 reversed", 0, None, True),
    "drift_initial": Metric("Drift since the start", "0 as in the untrained network, 1 unrelated to it", 0, None, True),
    "entropy": Metric("Entropy", "0 one single place, 1 spread evenly", None, 1, True),
    "gini": Metric("Gini", "0 spread evenly, towards 1 concentrated", 0, 1),
    "region_mass": Metric("Mass inside the mask", "share of the map that lies inside the mask", 0, None, True),
    "region_lift": Metric("Lift inside the mask", "mass over the mask's share of the area; 1 is chance", 0),
    "region_rank_accuracy": Metric("Rank accuracy", "share of the mask that the highest places fill", 0, 1),
    "region_pointing_game": Metric("Pointing game", "share of samples whose highest place is inside the mask", 0, 1),
    "region_auc": Metric("AUC of the mask", "chance that a place inside is higher than one outside; 0.5 is chance", 0, 1),
    "probe": Metric("Accuracy and confidence", "on the probe", 0, 1, True),
    "similarity": Metric("Similarity with random copies", "signed Spearman; near 0 is good, beside the floor", None, None, True),
    "floor": Metric("Floor", "what two random copies have in common; above 0.3 the maps show the input", None, None, True),
    "calibrated": Metric("Calibrated similarity", "(s − floor) / (1 − floor); never read without the floor"),
    "random_logit": Metric("Random logit", "maps of two classes; near 1 is bad", None, 1, True),
    "drift": Metric("Randomization drift", "1 − similarity with random copies"),
    "effect": Metric("Effect of the cue", "what the cue adds to the suspect class, in sd of the logits; 0 nothing", None, None, True),
    "flip_rate": Metric("Flips", "share of predictions that the cue turns to the suspect class", 0, 1, True),
    "mass": Metric("Mass on the cue", "share of the map in the cue's region", 0, None, True),
    "lift": Metric("Lift on the cue", "mass over the region's share of the area; 1 is chance", 0),
    "removal_effect": Metric("Effect of removing the cue", "what the suspect class loses when the cue is painted over"),
    "worst_group_accuracy": Metric("Accuracy without and with the cue", "worst class and average, on the validation set", 0, 1),
}  # fmt: skip
_JOINED = {
    "probe_accuracy": ("probe", "accuracy"),
    "probe_confidence": ("probe", "confidence"),
    "lower_bound": ("effect", "lower bound"),
    "contrast": ("effect", "contrast"),
    "effect": ("effect", "effect"),
    "average_accuracy": ("worst_group_accuracy", "average"),
    "worst_group_accuracy": ("worst_group_accuracy", "worst group"),
}
_HIDDEN = ("alarm",)


def charts_of(archive: Archive) -> list[dict[str, Any]]:
    """Return the charts of an archive, those to look at first first.

    Returns:
        For each chart ``key``, ``title``, ``hint``, ``low``, ``high``, ``first`` and ``series``, with ``points`` as
        ``[step, value]``; the chart of an alarm has its ``threshold``, and ``since``, the steps at which it went on.
    """
    series: dict[str, dict[str, list[list[float]]]] = {}
    for entry in archive.observations:
        methods = method_names(entry)
        for tag, value in entry["scores"].items():
            key, line = split_tag(tag, methods)
            if value is None or key in _HIDDEN or key.endswith("_std"):
                continue
            series.setdefault(key, {}).setdefault(line, []).append([entry["step"], value])
    least = 2 if len(archive.observations) > 2 else 1
    charts = []
    for key, lines in series.items():
        drawn = {name: points for name, points in lines.items() if len(points) >= least}
        if drawn:
            charts.append(_chart(archive, key, drawn))
    order = list(_METRICS)
    charts.sort(key=lambda chart: (not chart["first"], order.index(chart["key"]) if chart["key"] in order else 99))
    return charts


def split_tag(tag: str, methods: Iterable[str]) -> tuple[str, str]:
    """Return the chart that a tag belongs to, and its line in it.

    ``saliency/gradient/entropy`` is the line ``gradient`` of ``entropy``, and ``…/region_mass/class_3`` the line
    ``class 3`` of ``region_mass · gradient``.
    """
    parts, known = tag.split("/"), set(methods)
    place = next((place for place, part in enumerate(parts[:-1]) if place and part in known), None)
    if place is None:
        return _JOINED.get(parts[-1], (parts[-1], parts[-1]))
    method, metric = parts[place], parts[place + 1 :]
    if len(metric) == 1:
        return metric[0], method
    kind, _, name = "/".join(metric[1:]).partition("_")
    return f"{metric[0]} · {method}", f"{kind} {name}".strip()


def method_names(entry: Observation) -> set[str]:
    """Return the methods that an observation has scores of."""
    told = entry["metadata"].get("methods")
    return set(entry["methods"]) | (set(told) if isinstance(told, dict) else set())


def _chart(archive: Archive, key: str, lines: dict[str, list[list[float]]]) -> dict[str, Any]:
    base, _, method = key.partition(" · ")
    metric = _METRICS.get(base, Metric(base.replace("_", " ").capitalize(), ""))
    chart: dict[str, Any] = {
        "key": key,
        "title": f"{metric.title} · {method}" if method else metric.title,
        "hint": metric.hint,
        "low": metric.low,
        "high": metric.high,
        "first": metric.first and not method,
        "series": [{"name": name, "points": points} for name, points in lines.items()],
    }
    if key == "effect":
        chart["threshold"] = archive.observations[-1]["metadata"].get("threshold")
        chart["since"] = _went_on(archive)
    return chart


def _went_on(archive: Archive) -> list[int]:
    steps, before = [], False
    for entry in archive.observations:
        values = [value for tag, value in entry["scores"].items() if tag.endswith("/alarm")]
        if values:
            if values[0] and not before:
                steps.append(entry["step"])
            before = bool(values[0])
    return steps
