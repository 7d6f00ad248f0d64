"""The maps of one monitor, read observation by observation and kept small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from saliency_callbacks.arrays.slices import evenly_spaced
from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.sinks.disk.array_file import Array, ArrayFile
from saliency_callbacks.sinks.disk.arrays import StoredProbe, open_maps, read_shown_maps, read_stored_probe
from saliency_callbacks.sinks.disk.entries import MethodEntry, ObservationEntry, ProbeEntry
from saliency_callbacks.sinks.disk.outlines import StoredOutlines, read_stored_outlines
from saliency_callbacks.sinks.disk.shown import Maps, Plane, Scales, shrink

__all__ = [
    "ExplainedObservation",
    "Monitor",
    "ReadObservation",
    "moment_of",
    "read_monitor",
    "sample_facts",
    "volume_size",
    "with_maps",
]

_VOLUME_DIMENSIONS = 3


@dataclass(frozen=True, eq=False)
class ExplainedObservation:
    """One observation whose maps could be read.

    Args:
        entry: Its entry in the index.
        scales: What is known of the maps of each method.
        maps: The maps themselves by method; empty where they are read when they are looked at.
        predictions, confidences: As in :class:`~saliency_callbacks.types.Snapshot`.
        samples: The values ``[N]`` behind its scores, by tag.
        outlines: Boxes and masks by their keys on disk; empty where they are read when they are looked at.
    """

    entry: ObservationEntry
    scales: Mapping[str, Scales]
    maps: Mapping[str, Maps] = field(default_factory=dict)
    predictions: Array | None = None
    confidences: Array | None = None
    samples: Mapping[str, Array] = field(default_factory=dict)
    outlines: Mapping[str, StoredOutlines] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Monitor:
    """One archive that has maps of a probe.

    Args:
        archive: The archive.
        probe: What was explained.
        observations: Those whose maps could be read.
        notes: What is left out, and why.
        slices: Of volumes, which slices the maps have that were read; ``None`` where maps are read when looked at.
            Of those that an earlier version kept, the middle one.
    """

    archive: Archive
    probe: StoredProbe
    observations: tuple[ExplainedObservation, ...]
    notes: tuple[str, ...] = ()
    slices: tuple[int, ...] | None = None

    @property
    def methods(self) -> dict[str, MethodEntry]:
        """Every method of the run, with its latest entry."""
        return {name: entry for one in self.observations for name, entry in one.entry["methods"].items()}

    @property
    def volume_size(self) -> tuple[int, ...] | None:
        """Size of the volumes that were explained; ``None`` where they are none."""
        return None if self.probe.images is None else volume_size(self.archive)


ReadObservation = Callable[[Archive, ObservationEntry, StoredProbe], ExplainedObservation]
ReadProbe = Callable[[Path, ProbeEntry], StoredProbe]


def read_monitor(archive: Archive, read: ReadObservation, read_probe: ReadProbe = read_stored_probe) -> Monitor | None:
    """Read the observations and the probe of an archive; ``None`` if it has no probe or no maps.

    Args:
        archive: One directory of the run.
        read: Reads one observation; from :func:`with_maps`, for a file that holds the maps.
        read_probe: Reads the probe.

    Returns:
        Its monitor, with notes on observations that are left out.
    """
    entry, explained = archive.probe, [entry for entry in archive.observations if entry["methods"]]
    if entry is None or not explained:
        return None
    try:
        probe = read_probe(archive.directory, entry)
    except (ConfigurationError, KeyError, TypeError) as error:
        return Monitor(archive, StoredProbe("", ()), (), (f"{archive.name}: no images, because {_reason(error)}",))
    observations, gone, notes = [], [], []
    for listed in explained:
        if listed["metadata"].get("probe", probe.fingerprint) != probe.fingerprint:
            notes.append(f"{archive.name}: {moment_of(listed)} was left out because it explains a different probe.")
            continue
        if listed["file"] is None or not (archive.directory / listed["file"]).exists():
            gone.append(listed)
            continue
        try:
            observations.append(read(archive, listed, probe))
        except (ConfigurationError, KeyError, TypeError, ValueError, RuntimeError) as error:
            notes.append(f"{archive.name}: {moment_of(listed)} has no images because {_reason(error)}")
    if gone:
        notes.append(
            f"{archive.name}: the maps of {len(gone)} of {counted(len(explained), 'observation')} ({_span(gone)}) "
            "were not kept; the charts still show their scores."
        )
    monitor = Monitor(archive, probe, tuple(observations), tuple(notes))
    size = monitor.volume_size
    return monitor if size is None or probe.volumes is not None else _of_one_slice(monitor, size[0])


def with_maps(longest_side: int, most_slices: int = 2**31) -> ReadObservation:
    """Return what reads an observation with its maps.

    Args:
        longest_side: Largest height or width at which a map is kept.
        most_slices: Most slices of the maps of volumes; of more, evenly spaced ones are kept.
    """

    def read(archive: Archive, entry: ObservationEntry, probe: StoredProbe) -> ExplainedObservation:
        with open_maps(archive.directory, entry) as file:
            shown = {
                name: read_shown_maps(file, name, facts, probe, longest_side)
                for name, facts in entry["methods"].items()
            }
            outlines = {key: one.shrunk(longest_side) for key, one in read_stored_outlines(file, entry).items()}
            if probe.volumes is not None:
                depth = probe.volumes.shape[1]
                planes = [Plane(0, index, depth) for index in evenly_spaced(depth, most_slices)]
                shown = {name: maps.cut(*planes) for name, maps in shown.items()}
                outlines = {key: one.cut(planes) for key, one in outlines.items()}
            if probe.images is not None:
                shown = {name: shrink(maps, longest_side) for name, maps in shown.items()}
            scales = {name: maps.scales for name, maps in shown.items()}
            facts = sample_facts(file, len(probe.ids))
            return ExplainedObservation(entry, scales, shown, outlines=outlines, **facts)

    return read


def sample_facts(file: ArrayFile, count: int) -> dict[str, Any]:
    """Return predictions, confidences and the values behind the scores, where there is one for each sample."""
    samples = {
        name.removeprefix("samples/"): file.read(name).astype(np.float32)
        for name in file.names
        if name.startswith("samples/") and file.shape(name) == (count,)
    }
    known = [name for name in ("predictions", "confidences") if name in file and file.shape(name) == (count,)]
    return {"samples": samples, **{name: file.read(name) for name in known}}


def moment_of(entry: ObservationEntry) -> str:
    """Return a title of the moment for use within a sentence."""
    titles = {"initial": "the start", "final": "the end", "validate": "validation"}
    return titles.get(entry["stage"], f"epoch {entry['epoch']}")


def volume_size(archive: Archive) -> tuple[int, ...] | None:
    """Return the size of what the maps of an archive are of; ``None`` where that is no volumes."""
    sizes = [facts["size"] for entry in archive.observations for facts in entry["methods"].values()]
    return tuple(sizes[-1]) if sizes and len(sizes[-1]) == _VOLUME_DIMENSIONS else None


def _of_one_slice(monitor: Monitor, depth: int) -> Monitor:
    note = (
        f"{monitor.archive.name}: an earlier version kept the picture of the middle slice alone, so no other is shown."
    )
    notes = (*monitor.notes, note) if depth > 1 else monitor.notes
    return replace(monitor, notes=notes, slices=(depth // 2,))


def _span(entries: Sequence[ObservationEntry]) -> str:
    first, last = moment_of(entries[0]), moment_of(entries[-1])
    return first if first == last else f"{first} to {last}"


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ConfigurationError) else f"its data is incomplete ({error})."
