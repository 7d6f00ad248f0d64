"""Scores of an archive → charts: one per metric, with one line per method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saliency_callbacks.report.metrics import METRICS, Metric
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.sinks.disk.entries import ObservationEntry

__all__ = ["charts_of", "split_tag"]

_JOINED = {
    "probe_accuracy": ("probe", "accuracy"),
    "probe_confidence": ("probe", "confidence"),
    "lower_bound": ("effect", "lower bound"),
    "contrast": ("effect", "contrast"),
    "effect": ("effect", "effect"),
    "average_accuracy": ("worst_group_accuracy", "average"),
    "worst_group_accuracy": ("worst_group_accuracy", "worst group"),
}
_HIDDEN = ("alarm", "n_forwards")
_ENDS = ("_std", "_lower", "_upper")


def charts_of(archive: Archive) -> list[dict[str, Any]]:
    """Return the charts of an archive, the most important ones first.

    Returns:
        For each chart ``key``, ``title``, ``hint``, ``low``, ``high``, ``first`` and ``series``, with ``points`` as
        ``[step, value]``; the chart of an alarm has its ``threshold``, and ``since``, the steps at which it went on.
    """
    series: dict[str, dict[str, list[list[float]]]] = {}
    # Of all observations: the end-of-training summary has scores and no maps.
    methods = set().union(*map(method_names, archive.observations))
    for entry in archive.observations:
        for tag, value in entry["scores"].items():
            key, line = split_tag(tag, methods)
            if value is None or key in _HIDDEN or key.endswith(_ENDS):
                continue
            series.setdefault(key, {}).setdefault(line, []).append([entry["step"], value])
    least = 2 if len(archive.observations) > 2 else 1
    charts = []
    for key, lines in series.items():
        drawn = {name: points for name, points in lines.items() if len(points) >= least}
        if drawn:
            charts.append(_chart(archive, key, drawn))
    order = list(METRICS)
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
        return _JOINED.get(parts[-1], (parts[-1], parts[-1].replace("_", " ")))
    method, metric = parts[place], parts[place + 1 :]
    if len(metric) == 1:
        return metric[0], method
    kind, _, name = "/".join(metric[1:]).partition("_")
    return f"{metric[0]} · {method}", f"{kind} {name}".strip()


def method_names(entry: ObservationEntry) -> set[str]:
    """Return the methods that an observation has scores for."""
    told = entry["metadata"].get("methods")
    return set(entry["methods"]) | (set(told) if isinstance(told, dict) else set())


def _chart(archive: Archive, key: str, lines: dict[str, list[list[float]]]) -> dict[str, Any]:
    base, _, method = key.partition(" · ")
    metric = METRICS.get(base, Metric(base.replace("_", " ").capitalize(), ""))
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
