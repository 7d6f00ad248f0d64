"""What the index on disk says: the probe, and for each observation one entry, as JSON holds them."""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = ["Index", "MethodEntry", "ObservationEntry", "OutlinesEntry", "ProbeEntry", "TableEntry"]


class MethodEntry(TypedDict):
    """What the index says of one method's maps.

    ``layer`` is where the map was taken, ``None`` at the input. ``reduction`` and ``size`` give the magnitude
    back from the values; ``reduction`` is ``None`` where the magnitude itself is stored.
    """

    layer: str | None
    reduction: str | None
    size: list[int]


class OutlinesEntry(TypedDict):
    """What the index says of boxes and masks: the size of the explained input, and what each sample's is called."""

    size: list[int]
    names: list[str] | None


class TableEntry(TypedDict):
    """A :class:`~saliency_callbacks.types.Table` as values: each cell is its text and its style."""

    columns: list[str]
    rows: list[list[list[str]]]
    note: str | None


class _RequiredOfObservation(TypedDict):
    epoch: int
    step: int
    stage: str
    file: str | None
    ids: list[str]
    methods: dict[str, MethodEntry]
    scores: dict[str, float | None]
    metadata: dict[str, Any]
    pictures: dict[str, str]
    texts: dict[str, str]
    alerts: dict[str, str]


class ObservationEntry(_RequiredOfObservation, total=False):
    """One entry of the index; paths are relative to the directory, a score that is not finite is ``None``.

    ``file`` is ``None`` where the maps were removed, see :class:`~saliency_callbacks.sinks.disk.retention.Retention`.
    Version 0.1 wrote no ``tables``: there they are Markdown among the ``texts``. ``classes`` and ``unreadable`` are
    those of :class:`~saliency_callbacks.types.ProbeStatistics`, where there are any. ``outlines`` are there where there
    are boxes or masks, see :mod:`saliency_callbacks.sinks.disk.outlines`.
    """

    tables: dict[str, TableEntry]
    classes: list[str]
    unreadable: dict[str, str]
    outlines: dict[str, OutlinesEntry]


class _RequiredOfProbe(TypedDict):
    fingerprint: str
    file: str
    ids: list[str]
    tokens: list[list[str]] | None
    special: list[list[bool]] | None
    class_names: list[str] | None
    groups: list[str] | None


class ProbeEntry(_RequiredOfProbe, total=False):
    """What the index says of the probe; see :class:`~saliency_callbacks.types.ProbeView`.

    ``file`` is relative to the directory. An observation of another probe names that one's fingerprint in its metadata.
    ``axis_names`` are there where they are known.
    """

    axis_names: list[str]


class Index(TypedDict):
    """What was observed. ``probe`` is ``None`` if the writer did not say; ``damaged`` lines cannot be read."""

    format: int
    probe: ProbeEntry | None
    observations: list[ObservationEntry]
    damaged: int
