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
``reduction`` named in the index. ``statistics/…`` is described in :mod:`saliency_callbacks.sinks.disk.statistics`. The
probe's file holds its ``images`` (``uint8 [N, H, W, 3]``), ``labels`` and ``masks``, if there are any.

A line of the index is an :class:`~saliency_callbacks.sinks.disk.entries.ObservationEntry`. Lines are only ever
appended. A later one of the same step and stage is merged into the earlier one key by key, so an observation that is
made again replaces the first, and ``{"step", "stage", "file": null, "pictures": {}}`` says that maps were removed. A
last line without its newline was being written when the process died.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, cast, get_args

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import interpolate

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.disk.entries import Index, ObservationEntry, ProbeEntry, TableEntry
from saliency_callbacks.sinks.disk.journal import last_states
from saliency_callbacks.types import Cell, CellStyle, ProbeView, Table

__all__ = [
    "FORMAT",
    "INDEX_NAME",
    "OBSERVATIONS_NAME",
    "REDUCTIONS",
    "inside",
    "parse_index",
    "parse_observations",
    "read_index",
    "read_maps",
    "read_probe",
    "read_table",
]

FORMAT = 2
"""Number of the format this module writes and reads."""

INDEX_NAME = "index.json"
"""Name of the index inside the directory."""

OBSERVATIONS_NAME = "observations.jsonl"
"""Name of the list of observations inside the directory."""

# The format owns these definitions: what an old file means must not change with the package's mathematics.
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "abs_max": lambda values: values.abs().amax(1),
    "positive_max": lambda values: values.clamp(min=0).amax(1),
    "l2": lambda values: values.square().sum(1).sqrt(),
    "abs_sum": lambda values: values.abs().sum(1),
    "sum": lambda values: values.sum(1).abs(),
}
_INTERPOLATIONS = {1: "linear", 2: "bilinear", 3: "trilinear"}


def reduce_values(values: Tensor, reduction: str, size: list[int]) -> Tensor:
    """Reduce ``[N, C, *spatial]`` over the channels, and resize the result linearly to ``[N, *size]``."""
    reduced = REDUCTIONS[reduction](values.float())
    if list(reduced.shape[1:]) == size:
        return reduced
    mode = _INTERPOLATIONS[len(size)]
    return interpolate(reduced.unsqueeze(1), size=tuple(size), mode=mode, align_corners=False).squeeze(1)


def inside(directory: Path, relative: str) -> Path:
    """Return the path of ``relative`` in ``directory``.

    Raises:
        ConfigurationError: If it would be outside the directory.
    """
    path = directory / relative
    if not path.resolve().is_relative_to(directory.resolve()):
        raise ConfigurationError(
            f"{relative!r} leads out of {str(directory)!r}; expected a path inside it. "
            "The index was edited or is not one of DiskSink's."
        )
    return path


def read_index(directory: str | PathLike[str]) -> Index:
    """Read the index that a :class:`~saliency_callbacks.sinks.DiskSink` wrote.

    Args:
        directory: The sink's directory.

    Returns:
        ``{"format": 2, "probe": ..., "observations": [...], "damaged": 0}``, ordered by step.

    Raises:
        ConfigurationError: If there is no index, or it is damaged or of another format.
    """
    path = Path(directory) / INDEX_NAME
    observations = path.with_name(OBSERVATIONS_NAME)
    try:
        content = path.read_bytes()
        lines = observations.read_bytes() if observations.exists() else b""
    except OSError as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be read ({error.strerror}); expected the index that DiskSink writes. "
            "Name the directory given to DiskSink."
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
        content = json.loads(encoded)
    except ValueError as error:
        raise ConfigurationError(
            f"{str(path)!r} is not JSON ({error}); expected the index that DiskSink writes. "
            "Remove the file, or restore it from a copy."
        ) from error
    probe = content.get("probe", ...) if isinstance(content, dict) and content.get("format") == FORMAT else ...
    if probe is not None and not _has(probe, ProbeEntry):
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ConfigurationError(
            f"{str(path)!r} is not an index of format {FORMAT} (found {found!r}). "
            "Use the version of saliency-callbacks that wrote it, or another directory."
        )
    return cast("ProbeEntry | None", probe)


def parse_observations(encoded: bytes) -> tuple[list[ObservationEntry], int]:
    """Return the entries of ``observations.jsonl``, oldest step first, and how many lines and entries are damaged."""
    entries, damaged = last_states(encoded, ("step", "stage"))
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


def read_probe(directory: str | PathLike[str], entry: ProbeEntry) -> ProbeView:
    """Read the probe that was explained.

    Args:
        directory: The sink's directory.
        entry: ``read_index(directory)["probe"]``.

    Raises:
        ConfigurationError: If the file is missing, damaged or outside the directory.
    """
    tensors = _load(inside(Path(directory), entry["file"]), "the probe")
    tokens, special, names, groups = entry["tokens"], entry["special"], entry["class_names"], entry["groups"]
    return ProbeView(
        fingerprint=entry["fingerprint"],
        ids=tuple(entry["ids"]),
        images=tensors.get("images"),
        tokens=None if tokens is None else tuple(map(tuple, tokens)),
        special=None if special is None else tuple(map(tuple, special)),
        labels=tensors.get("labels"),
        class_names=None if names is None else tuple(names),
        masks=tensors.get("masks"),
        groups=None if groups is None else tuple(groups),
    )


def read_maps(directory: str | PathLike[str], entry: ObservationEntry) -> dict[str, Tensor]:
    """Read the tensors of one observation.

    Args:
        directory: The sink's directory.
        entry: One of ``read_index(directory)["observations"]``.

    Returns:
        Every stored tensor by its name, and ``{method}/magnitude`` of every method whether stored or not.

    Raises:
        ConfigurationError: If the maps were removed, or the file is missing, damaged or outside the directory.
    """
    if entry["file"] is None:
        raise ConfigurationError(
            f"the maps of step {entry['step']} were removed; expected an entry with a file. Look at entry['file'] "
            "first, and keep more with keep_maps='all'"
        )
    tensors = _load(inside(Path(directory), entry["file"]), f"the maps of step {entry['step']}")
    for method, facts in entry["methods"].items():
        if facts["reduction"] is not None:
            values = tensors[f"{method}/values"]
            tensors[f"{method}/magnitude"] = reduce_values(values, facts["reduction"], facts["size"])
    return tensors


def _load(path: Path, expected: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be read ({error}); expected {expected}. "
            "Copy the whole directory, index and maps together."
        ) from error
