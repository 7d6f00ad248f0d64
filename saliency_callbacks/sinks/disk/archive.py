"""The format in which raw maps are kept on disk, and how it is read back.

::

    <directory>/
    ├── index.json                          number of the format, and the probe
    ├── observations.jsonl                  what was observed: one line per observation, in the order of writing
    ├── probe-<fingerprint>.safetensors     the probe as pictures
    ├── maps/<step>[-initial|-validate].safetensors
    └── pictures/<tag>/<step>[...].png      where pictures are kept; .gif for animations

A safetensors file holds, for each method, ``{method}/values``, ``{method}/target``, ``{method}/score`` and
``{method}/extras/{name}``; ``samples/{tag}``, the values behind a score; and the probe's ``predictions``,
``confidences`` and ``labels`` where there are any. ``{method}/magnitude`` is left out if the values give it by the
``reduction`` named in the index. ``{method}/shown/…`` is described in :mod:`saliency_callbacks.sinks.disk.shown`,
``statistics/…`` is described in :mod:`saliency_callbacks.sinks.disk.statistics`, ``outlines/…`` in
:mod:`saliency_callbacks.sinks.disk.outlines`. The
probe's file holds its ``images`` (``uint8 [N, H, W, 3]``), of volumes ``volumes`` (``uint8 [N, D, H, W, 1 or 3]``),
``labels`` and ``masks``, if there are any.

A line of the index is an :class:`~saliency_callbacks.sinks.disk.entries.ObservationEntry`. Lines are only ever
appended. A later one of the same step and stage is merged into the earlier one key by key, so an observation that is
made again replaces the first, and ``{"step", "stage", "file": null, "pictures": {}}`` says that maps were removed. A
last line without its newline was being written when the process died.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast, get_args

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.addresses import fetched, is_remote
from saliency_callbacks.sinks.disk.entries import Index, ObservationEntry, ProbeEntry, TableEntry
from saliency_callbacks.sinks.disk.journal import finite_json, last_states
from saliency_callbacks.types.tables import Cell, CellStyle, Table

__all__ = [
    "FORMAT",
    "INDEX_NAME",
    "KEY",
    "OBSERVATIONS_NAME",
    "inside",
    "parse_index",
    "parse_observations",
    "read_index",
    "read_table",
    "sorted_observations",
]

FORMAT = 2
"""Number of the format this module writes and reads."""

INDEX_NAME = "index.json"
"""Name of the index inside the directory."""

OBSERVATIONS_NAME = "observations.jsonl"
"""Name of the list of observations inside the directory."""

KEY = ("step", "stage")
"""What tells one observation from another."""


def inside(directory: Path, relative: str) -> Path:
    """Return the path of ``relative`` in ``directory``.

    Raises:
        ConfigurationError: If it would be outside the directory.
    """
    path = directory / relative
    if not path.resolve().is_relative_to(directory.resolve()):
        raise ConfigurationError(
            f"{relative!r} leads out of {str(directory)!r}; expected a path inside it. The index was edited, or was "
            "not written by DiskSink"
        )
    return path


def read_index(directory: str | PathLike[str]) -> Index:
    """Read the index that a :class:`~saliency_callbacks.sinks.DiskSink` wrote.

    Args:
        directory: The sink's directory, or the address of a copy such as ``s3://bucket/run/saliency``.

    Returns:
        ``{"format": 2, "probe": ..., "observations": [...], "damaged": 0}``, ordered by step.

    Raises:
        ConfigurationError: If there is no index, or it is damaged or of another format.
    """
    if is_remote(directory):
        with fetched(directory, (INDEX_NAME, OBSERVATIONS_NAME)) as copy:
            return read_index(copy)
    path = Path(directory) / INDEX_NAME
    observations = path.with_name(OBSERVATIONS_NAME)
    try:
        content = path.read_bytes()
        lines = observations.read_bytes() if observations.exists() else b""
    except OSError as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be read ({error.strerror}); expected the index that DiskSink writes. Give the "
            "directory of a DiskSink"
        ) from error
    probe = parse_index(content, path)
    entries, damaged = parse_observations(lines)
    return Index(format=FORMAT, probe=probe, observations=entries, damaged=damaged)


def parse_index(encoded: bytes, path: Path) -> ProbeEntry | None:
    """Return what the index at ``path`` says of the probe.

    Raises:
        ConfigurationError: If it is damaged or of another format.
    """
    try:
        content = finite_json(encoded)
    except ValueError as error:
        raise ConfigurationError(
            f"{str(path)!r} is not JSON ({error}); expected the index that DiskSink writes. Remove the file, or "
            "restore it from a copy"
        ) from error
    probe = content.get("probe", ...) if isinstance(content, dict) and content.get("format") == FORMAT else ...
    if probe is not None and not _has(probe, ProbeEntry):
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ConfigurationError(
            f"{str(path)!r} is not an index of format {FORMAT} (found {found!r}). Use the version of "
            "saliency-callbacks that wrote it, or another directory"
        )
    return cast("ProbeEntry | None", probe)


def parse_observations(encoded: bytes) -> tuple[list[ObservationEntry], int]:
    """Return the entries of ``observations.jsonl``, oldest step first, and how many lines and entries are damaged."""
    return sorted_observations(*last_states(encoded, KEY))


def sorted_observations(entries: Sequence[Mapping[str, Any]], damaged: int) -> tuple[list[ObservationEntry], int]:
    """Return the whole ones of some records, oldest step first, and the number of damaged ones with ``damaged``."""
    whole = [cast("ObservationEntry", entry) for entry in entries if _has(entry, ObservationEntry)]
    # Sorting is stable and the initial observation has the lowest step, so equal steps keep their order.
    return sorted(whole, key=lambda entry: entry["step"]), damaged + len(entries) - len(whole)


def read_table(entry: TableEntry) -> Table:
    """Return the table of an entry; a style that this version does not know is plain.

    Raises:
        ConfigurationError: If the entry is damaged.
    """
    try:
        rows = tuple(tuple(_cell(text, style) for text, style in row) for row in entry["rows"])
        return Table(tuple(map(str, entry["columns"])), rows, None if entry["note"] is None else str(entry["note"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"a table of the index is damaged ({error!r}); expected columns, rows of [text, style] and a note, as "
            "DiskSink writes them. Restore the index from a copy"
        ) from error


def _cell(text: object, style: str) -> Cell:
    return Cell(str(text), cast("CellStyle", style)) if style in get_args(CellStyle) else Cell(str(text))


def _has(entry: object, kind: Any) -> bool:
    return isinstance(entry, dict) and kind.__required_keys__ <= entry.keys()
