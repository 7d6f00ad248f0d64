"""What an observation says about each sample, as the rows of a table."""

from __future__ import annotations

import math
import posixpath
from dataclasses import dataclass

from torch import Tensor

from saliency_callbacks.types import Snapshot

__all__ = ["SampleTable", "sample_table"]

Cell = str | int | float | None

_DRIFT = ("drift_previous", "drift_initial")


@dataclass(frozen=True)
class SampleTable:
    """The rows that one observation adds.

    Args:
        name: Tag of the table: the common beginning of the scores' tags, and ``samples``.
        columns: Facts about the sample, then the tags of its scores in alphabetical order.
        rows: One per sample, with one cell for each of ``columns``; ``None`` where there is no finite value.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def under(self, columns: tuple[str, ...]) -> list[list[Cell]]:
        """Return the rows under other columns, with ``None`` for those that this table does not have."""
        by_name = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return [[row.get(column) for column in columns] for row in by_name]


def sample_table(snapshot: Snapshot) -> SampleTable | None:
    """Return one row for each sample; ``None`` for an observation without scores of samples.

    Every observation of a callback has the same columns; in the first one drift, which it cannot have, is ``None``.
    """
    count = len(snapshot.ids)
    scores = {tag: _numbers(values) for tag, values in snapshot.sample_scores.items() if len(values) == count}
    if not scores:
        return None
    columns = {
        "moment": [snapshot.moment] * count,
        "epoch": [snapshot.epoch] * count,
        "step": [snapshot.step] * count,
        "sample": list(snapshot.ids),
        "label": _classes(snapshot, snapshot.labels),
        "prediction": _classes(snapshot, snapshot.predictions),
        "confidence": _numbers(snapshot.confidences, count),
        **{tag: scores.get(tag, [None] * count) for tag in sorted({*scores, *_drift_tags(snapshot)})},
    }
    name = posixpath.join(posixpath.commonpath([posixpath.dirname(tag) for tag in scores]), "samples")
    return SampleTable(name, tuple(columns), tuple(zip(*columns.values(), strict=True)))


def _drift_tags(snapshot: Snapshot) -> list[str]:
    prefixes = {posixpath.dirname(tag) for tag in snapshot.sample_scores}
    return [
        f"{prefix}/{name}"
        for prefix in prefixes
        if posixpath.basename(prefix) in snapshot.attributions
        for name in _DRIFT
    ]


def _classes(snapshot: Snapshot, classes: Tensor | None) -> list[Cell]:
    """Return the names of classes, or their numbers where they have no names."""
    if classes is None or classes.ndim != 1:
        return [None] * len(snapshot.ids)
    names = snapshot.probe.class_names if snapshot.probe is not None else None
    if names is None:
        return [int(index) for index in classes]
    return [names[index] if 0 <= index < len(names) else str(index) for index in classes.tolist()]


def _numbers(values: Tensor | None, count: int = 0) -> list[Cell]:
    if values is None:
        return [None] * count
    return [value if math.isfinite(value) else None for value in values.double().tolist()]
