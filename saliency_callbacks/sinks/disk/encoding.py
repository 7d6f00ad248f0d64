"""What a snapshot holds, as tensors for a safetensors file and as values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.sinks.disk.entries import MethodEntry, OutlinesEntry, TableEntry
from saliency_callbacks.sinks.disk.outlines import EXPLAINED, PART
from saliency_callbacks.sinks.disk.shown import LONGEST_SIDE, REDUCTIONS, SCALE_NAMES, shown_maps, shrink
from saliency_callbacks.sinks.disk.statistics import statistics_tensors
from saliency_callbacks.types import Attribution, Outlines, ProbeView, Snapshot, Table

__all__ = [
    "finite_or_none",
    "method_entry",
    "observation_tensors",
    "outline_entries",
    "plain",
    "table_entry",
]


def observation_tensors(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return the tensors of an observation under the names that they have on disk."""
    tensors = {}
    for method, attribution in snapshot.attributions.items():
        tensors[f"{method}/values"] = attribution.values
        tensors[f"{method}/target"] = attribution.target
        tensors[f"{method}/score"] = attribution.score
        if _reduction(attribution) is None:
            tensors[f"{method}/magnitude"] = attribution.magnitude
        for name, extra in attribution.extras.items():
            tensors[f"{method}/extras/{name}"] = extra
        tensors.update(_shown(attribution, snapshot.probe))
    for tag, values in snapshot.sample_scores.items():
        tensors[f"samples/{tag}"] = values
    for name in ("predictions", "confidences", "labels"):
        tensor = getattr(snapshot, name)
        if tensor is not None:
            tensors[name] = tensor
    if snapshot.statistics is not None:
        tensors.update(statistics_tensors(snapshot.statistics))
    tensors.update(_outline_tensors(snapshot))
    return tensors


def method_entry(attribution: Attribution) -> MethodEntry:
    """Return what the index says of one method's maps."""
    return MethodEntry(
        layer=attribution.layer, reduction=_reduction(attribution), size=list(attribution.magnitude.shape[1:])
    )


def table_entry(table: Table) -> TableEntry:
    """Return a table as the index holds it."""
    rows = [[[cell.text, cell.style] for cell in row] for row in table.rows]
    return TableEntry(columns=list(table.columns), rows=rows, note=table.note)


def outline_entries(snapshot: Snapshot) -> dict[str, OutlinesEntry]:
    """Return what the index says of the outlines of an observation; empty where it has none."""
    entries: dict[str, OutlinesEntry] = {}
    for key, outlines in _outlines(snapshot).items():
        size = next(iter(snapshot.attributions.values())).magnitude if outlines.masks is None else outlines.masks
        names = None if outlines.names is None else list(outlines.names)
        entries[key] = OutlinesEntry(size=list(size.shape[1:]), names=names)
    return entries


def finite_or_none(score: float) -> float | None:
    """Return a number that JSON can hold."""
    number = float(score)
    return number if math.isfinite(number) else None


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: containers element by element, unknown types as text."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.ndim == 0):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return finite_or_none(value)
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def _shown(attribution: Attribution, probe: ProbeView | None) -> dict[str, Tensor]:
    """Return what is known of the maps without looking at them; nothing where they cannot be shown."""
    if probe is None or not probe.ids or len(attribution.values) != len(probe.ids):
        return {}
    width = None if probe.images is None else probe.images.shape[2]
    values, magnitude = (
        tensor.detach().float().cpu().numpy() for tensor in (attribution.values, attribution.magnitude)
    )
    try:
        maps = shown_maps(values, magnitude, method_entry(attribution), width, LONGEST_SIDE)
        scales = (maps if width is None else shrink(maps, LONGEST_SIDE)).scales
    except (IndexError, ValueError):  # of shapes that no page shows; the maps are kept all the same
        return {}
    return {f"{attribution.method}/shown/{name}": torch.from_numpy(getattr(scales, name)) for name in SCALE_NAMES}


def _outline_tensors(snapshot: Snapshot) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, outlines in _outlines(snapshot).items():
        if outlines.boxes is not None:
            tensors[f"{PART}/{key}/boxes"] = outlines.boxes.float()
        if outlines.masks is not None:
            masks = outlines.masks.detach().cpu().bool().flatten(1).numpy()
            tensors[f"{PART}/{key}/masks"] = torch.from_numpy(np.packbits(masks, axis=1))
    return tensors


def _outlines(snapshot: Snapshot) -> dict[str, Outlines]:
    if not snapshot.attributions:
        return {}
    found = {f"localized/{method}": outlines for method, outlines in snapshot.localized.items()}
    return found if snapshot.explained is None else {EXPLAINED: snapshot.explained, **found}


def _reduction(attribution: Attribution) -> str | None:
    """Return how the values give the magnitude; ``None`` where it has to be stored."""
    return attribution.reduction if attribution.reduction in REDUCTIONS else None
