"""Everything the page shows, as plain data."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.slices import axis_name, slice_noun
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA, GROUND, overlay_table
from saliency_callbacks.report.attention import rank_samples
from saliency_callbacks.report.charts import charts_of, split_tag
from saliency_callbacks.report.comparison import pairs
from saliency_callbacks.report.documents import documents_of
from saliency_callbacks.report.facts import facts_of
from saliency_callbacks.report.headlines import headlines_of
from saliency_callbacks.report.media import Medium
from saliency_callbacks.report.monitors import ExplainedObservation, Monitor, moment_of
from saliency_callbacks.report.pictures.outlines import outline_facts
from saliency_callbacks.report.pictures.samples import sample_pictures
from saliency_callbacks.report.pictures.sprites import shared_scales
from saliency_callbacks.report.pictures.stored_pictures import stored_pictures
from saliency_callbacks.report.pictures.volumes import volume_facts
from saliency_callbacks.report.run_contents import Contents
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.report.shortcuts import lists_of, shortcuts_of
from saliency_callbacks.sinks.disk.array_file import Array

__all__ = ["payload_of"]

_SAMPLE_SCORES = ("drift_previous", "drift_initial", "entropy", "region_mass", "region_iou")


def payload_of(contents: Sequence[Contents], medium: Medium) -> dict[str, Any]:
    """Return the data of the page.

    Args:
        contents: One run, or two that are compared.
        medium: What stands for maps and pictures.
    """
    matched = pairs(contents)
    return {
        "title": " and ".join(content.run.name for content in contents),
        "alpha": DEFAULT_ALPHA,
        "colors": {"overlay": _table("auto"), "heatmap": _table("inferno"), "ground": list(GROUND)},
        "runs": [
            _run(content, [(pair[number], pair) for pair in matched], medium) for number, content in enumerate(contents)
        ],
    }


def _run(content: Contents, monitors: Sequence[tuple[Monitor, tuple[Monitor, ...]]], medium: Medium) -> dict[str, Any]:
    archives = content.run.archives
    lists = lists_of(archives)
    shortcuts, unshown = shortcuts_of(content.run, medium.picture)
    pictures, left_out = stored_pictures(
        content, medium.picture, {tag for one in lists for tag in one.picture_tags.values()}
    )
    notes = [*content.notes, *unshown, *left_out]
    if medium.stride > 1:
        notes.append(
            f"To keep the file small, only one in {medium.stride} observations has maps; the charts show all of them."
        )
    return {
        "name": content.run.name,
        "notes": notes,
        "headlines": headlines_of(archives, content.monitors),
        "shortcuts": shortcuts,
        "documents": documents_of(archives, {one.tag for one in lists}),
        "facts": [facts_of(archive) for archive in archives] + [_probe_facts(monitor) for monitor, _ in monitors],
        "sections": [_section(archive) for archive in archives],
        "pictures": [*content.class_pictures, *pictures],
        "monitors": [_monitor(monitor, pair, medium) for monitor, pair in monitors],
    }


def _section(archive: Archive) -> dict[str, Any]:
    return {
        "name": archive.name,
        "moments": [[entry["step"], moment_of(entry)] for entry in archive.observations],
        "charts": charts_of(archive),
    }


def _probe_facts(monitor: Monitor) -> dict[str, Any]:
    probe = monitor.probe
    rows = [["fingerprint", probe.fingerprint], ["samples", str(len(probe.ids))], ["ids", ", ".join(probe.ids)]]
    n_samples = monitor.observations[-1].entry["metadata"].get("samples")
    if n_samples is not None:
        rows.append(["samples explained", str(n_samples)])
    if probe.images is not None:
        rows.append(["pictures", " × ".join(map(str, probe.images.shape[1:3]))])
    if probe.volumes is not None:
        nouns = f"{slice_noun(probe.axis_names)}s"
        rows.append([nouns, f"{probe.volumes.shape[1]}, along {axis_name(0, probe.axis_names)}"])
    if probe.class_names is not None:
        rows.append(["classes", ", ".join(probe.class_names)])
    return {"title": f"Probe of {monitor.archive.name}", "rows": rows}


def _monitor(monitor: Monitor, pair: Sequence[Monitor], medium: Medium) -> dict[str, Any]:
    probe, observations = monitor.probe, _thinned(monitor.observations, medium.stride)
    settings = observations[-1].entry["metadata"].get("methods") or {}
    methods = [
        {
            "name": name,
            "layer": entry["layer"],
            "setting": str(settings.get(name, "")) if settings else "",
            "signed": any(bool(one.scales[name].signed.any()) for one in observations if name in one.scales),
        }
        for name, entry in monitor.methods.items()
    ]
    # One scale for both runs, so that their colors can be compared.
    on_scale = [shown for one in pair for shown in _thinned(one.observations, medium.stride)]
    shared = {name: shared_scales(on_scale, name) for name in monitor.methods if _has(observations, name)}
    return {
        "name": monitor.archive.name,
        "ids": list(probe.ids),
        "labels": _integers(probe.labels),
        "classNames": None if probe.class_names is None else list(probe.class_names),
        "groups": None if probe.groups is None else list(probe.groups),
        "tokens": None if probe.tokens is None else [list(tokens) for tokens in probe.tokens],
        "special": None if probe.special is None else [list(flags) for flags in probe.special],
        **(sample_pictures(probe) if probe.volumes is None else medium.slices(monitor)),
        "volume": volume_facts(monitor),
        "methods": [method for method in methods if method["name"] in shared],
        "shared": {method: [float(f"{value:.4g}") for value in scales.tolist()] for method, scales in shared.items()},
        "frames": [_frame(observation, shared, medium, is_text=probe.images is None) for observation in observations],
        "attention": _attention(monitor, observations),
    }


def _thinned(observations: Sequence[ExplainedObservation], stride: int) -> list[ExplainedObservation]:
    kept, last = list(observations[::stride]), observations[-1]
    return kept if kept[-1] is last else [*kept[:-1], last] if len(kept) > 1 else [last]


def _attention(monitor: Monitor, observations: Sequence[ExplainedObservation]) -> list[dict[str, Any]]:
    """Return the ranking, with positions among the observations that are shown."""
    steps = [observation.entry["step"] for observation in observations]
    ranked = rank_samples(monitor)
    for reason in (reason for item in ranked for reason in item["reasons"]):
        step = monitor.observations[reason["frame"]].entry["step"]
        reason["frame"] = min(range(len(steps)), key=lambda position: abs(steps[position] - step))
    return ranked


def _frame(
    observation: ExplainedObservation, shared: dict[str, Array], medium: Medium, *, is_text: bool
) -> dict[str, Any]:
    entry = observation.entry
    scores: dict[str, dict[str, list[float | None]]] = {}
    for tag, values in observation.samples.items():
        metric, method = split_tag(tag, entry["methods"])
        if metric in _SAMPLE_SCORES and method in entry["methods"]:
            scores.setdefault(method, {})[metric] = _decimals(values)
    return {
        "epoch": entry["epoch"],
        "step": entry["step"],
        "stage": entry["stage"],
        "title": moment_of(entry),
        "predictions": _integers(observation.predictions),
        "confidences": None if observation.confidences is None else _decimals(observation.confidences),
        "maps": medium.maps(observation, shared, is_text=is_text),
        "scores": scores,
        **outline_facts(entry),
    }


def _has(observations: Sequence[ExplainedObservation], method: str) -> bool:
    return any(method in observation.scales for observation in observations)


def _table(name: str) -> str:
    table: npt.NDArray[np.uint8] = overlay_table(name)
    return base64.b64encode(np.ascontiguousarray(table).tobytes()).decode()


def _integers(values: Array | None) -> list[int] | None:
    return None if values is None else [int(value) for value in values.tolist()]


def _decimals(values: Array) -> list[float | None]:
    return [float(f"{value:.3g}") if math.isfinite(value) else None for value in values.tolist()]
