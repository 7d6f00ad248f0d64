"""A run whose maps stay on disk until they are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

from saliency_callbacks.config.wording import counted
from saliency_callbacks.dashboard.answers import RequestError
from saliency_callbacks.dashboard.found_runs import FoundRun
from saliency_callbacks.dashboard.growing_index import GrowingIndex
from saliency_callbacks.dashboard.links import drawing_address
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.monitors import ExplainedObservation, Monitor, read_monitor, sample_facts
from saliency_callbacks.report.pictures.outlines import outline_keys, outline_sheets
from saliency_callbacks.report.pictures.statistics import drawings_of
from saliency_callbacks.report.run_contents import Contents
from saliency_callbacks.report.runs import Archive, RunDirectory, read_archives
from saliency_callbacks.sinks.disk.archive import inside
from saliency_callbacks.sinks.disk.arrays import StoredProbe, open_maps, read_scales, read_shown_maps, read_stored_probe
from saliency_callbacks.sinks.disk.entries import ObservationEntry, ProbeEntry
from saliency_callbacks.sinks.disk.outlines import StoredOutlines, read_stored_outlines
from saliency_callbacks.sinks.disk.shown import LONGEST_SIDE, Maps, Plane, Scales

__all__ = ["LiveRun", "read_method", "read_outlines"]

_LOOKED_AT = 3


class LiveRun:
    """What the page shows of a run, without its maps; what was read once is not read again.

    Args:
        found: Where it is.
    """

    def __init__(self, found: FoundRun) -> None:
        self._found = found
        self._lock = Lock()
        self._version = ""
        self._contents: Contents | None = None
        self._indices: dict[Path, GrowingIndex] = {}
        self._probes: dict[Path, tuple[tuple[Any, ...], StoredProbe]] = {}
        self._observations: dict[tuple[Any, ...], ExplainedObservation] = {}
        self._scales: dict[tuple[Any, ...], Mapping[str, Scales]] = {}
        self._used: set[tuple[Any, ...]] = set()

    def contents(self, found: FoundRun) -> tuple[str, Contents]:
        """Return the version of the run and what it holds now.

        Args:
            found: The same run; further archives may have been found since.

        Raises:
            RequestError: If there is nothing to show.
        """
        with self._lock:
            # Taken first: what is written while it is read is read again.
            version, _ = found.state()
            if self._contents is None or version != self._version:
                self._found = found
                self._contents, self._version = self._read(), version
            return version, self._contents

    def _read(self) -> Contents:
        run = self._found
        archives, notes = read_archives(run.directory, run.archives, self._read_index)
        if not any(archive.observations for archive in archives):
            raise RequestError(HTTPStatus.NOT_FOUND, " ".join(notes) or "no observations yet")
        self._used.clear()
        all_read = (read_monitor(archive, self._observation, self._probe) for archive in archives)
        read = [monitor for monitor in all_read if monitor is not None]
        for gone in self._observations.keys() - self._used:
            del self._observations[gone]
            self._scales.pop(gone, None)
        notes = (*notes, *(note for monitor in read for note in monitor.notes))
        scaled = [self._scaled(monitor) for monitor in read if monitor.observations]
        notes += tuple(note for _, note in scaled if note)
        monitors = tuple(monitor for monitor, _ in scaled if monitor.observations)
        drawings, undrawn = self._drawings(monitors)
        return Contents(RunDirectory(run.directory, run.id, archives, ()), monitors, (*notes, *undrawn), drawings)

    def _read_index(self, directory: Path) -> Any:
        return self._indices.setdefault(directory, GrowingIndex(directory)).read()

    def _probe(self, directory: Path, entry: ProbeEntry) -> StoredProbe:
        key = (directory, *_state(directory, entry["file"]))
        known = self._probes.get(directory)
        if known is None or known[0] != key:
            known = self._probes[directory] = key, read_stored_probe(directory, entry)
        return known[1]

    def _observation(self, archive: Archive, entry: ObservationEntry, probe: StoredProbe) -> ExplainedObservation:
        key = _key(archive, entry)
        self._used.add(key)
        known = self._observations.get(key)
        if known is None:
            with open_maps(archive.directory, entry) as file:
                found = {name: read_scales(file, name, probe) for name in entry["methods"]}
                scales = {name: one for name, one in found.items() if one is not None}
                known = ExplainedObservation(entry, scales, **sample_facts(file, len(probe.ids)))
            self._observations[key] = known
        return replace(known, entry=entry)

    def _scaled(self, monitor: Monitor) -> tuple[Monitor, str]:
        """Return a monitor whose observations all have scales, and a note if they are those of a few observations."""
        lacking = [one for one in monitor.observations if one.scales.keys() != one.entry["methods"].keys()]
        if not lacking:
            return monitor, ""
        last = len(lacking) - 1
        places = sorted({round(place * last / (_LOOKED_AT - 1)) for place in range(_LOOKED_AT)})
        looked_at = ((place, self._computed(monitor, lacking[place])) for place in places)
        known = {place: scales for place, scales in looked_at if scales}
        for place, one in enumerate(lacking):
            near = sorted(known, key=lambda other, place=place: abs(other - place))  # type: ignore[misc]
            scales = {name: known[other][name] for other in reversed(near) for name in known[other]}
            own = {name: scales[name] for name in one.entry["methods"] if name in scales}
            lacking[place] = replace(one, scales=own)
        filled = {_moment(one): one for one in lacking}
        observations = (filled.get(_moment(one), one) for one in monitor.observations)
        note = (
            f"{monitor.archive.name}: {len(lacking)} of {counted(len(monitor.observations), 'observation')} were "
            "written by an earlier version, without the scales of their maps; the shared scale is estimated from "
            f"{len(known)} of them."
        )
        return replace(monitor, observations=tuple(one for one in observations if one.scales)), note

    def _computed(self, monitor: Monitor, one: ExplainedObservation) -> Mapping[str, Scales]:
        key = _key(monitor.archive, one.entry)
        if key not in self._scales:
            try:
                methods = one.entry["methods"]
                self._scales[key] = {name: read_method(monitor, one.entry, name).scales for name in methods}
            except (ConfigurationError, KeyError, TypeError, ValueError):
                self._scales[key] = {}
        return self._scales[key]

    def _drawings(self, monitors: Sequence[Monitor]) -> tuple[tuple[dict[str, str], ...], list[str]]:
        drawings: list[dict[str, str]] = []
        notes: list[str] = []
        for monitor in monitors:
            found, undrawn = drawings_of(monitor)
            notes += undrawn
            for name, moment in found:
                url = drawing_address(self._found.id, monitor.archive, name)
                drawings.append({"tag": f"{monitor.archive.name}/{name}", "moment": moment, "url": url})
        return tuple(drawings), notes


def read_method(monitor: Monitor, entry: ObservationEntry, method: str) -> Maps:
    """Read the maps of one method from disk.

    Raises:
        ConfigurationError: If they cannot be read.
    """
    with open_maps(monitor.archive.directory, entry) as file:
        return read_shown_maps(file, method, entry["methods"][method], monitor.probe, LONGEST_SIDE)


def read_outlines(monitor: Monitor, entry: ObservationEntry, method: str, plane: Plane | None) -> dict[str, Any]:
    """Read what is drawn on the maps of one method from disk, of volumes on a slice; empty where there is nothing.

    Raises:
        ConfigurationError: If it cannot be read.
    """
    keys = outline_keys(method).values()
    if not any(key in entry.get("outlines", {}) for key in keys):
        return {}
    with open_maps(monitor.archive.directory, entry) as file:
        found = read_stored_outlines(file, entry, keys)
    cut = {key: one if plane is None else one.cut([plane]) for key, one in found.items()}
    shrunk: dict[str, StoredOutlines] = {key: one.shrunk(LONGEST_SIDE) for key, one in cut.items()}
    return outline_sheets(shrunk, method, len(monitor.probe.ids))


def _moment(one: ExplainedObservation) -> tuple[int, str]:
    return one.entry["step"], one.entry["stage"]


def _key(archive: Archive, entry: ObservationEntry) -> tuple[Any, ...]:
    return archive.directory, *_state(archive.directory, entry["file"] or "")


def _state(directory: Path, file: str) -> tuple[str, int, int]:
    """Return what changes when a file is written again."""
    try:
        status = inside(directory, file).stat()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read ({error.strerror})") from error
    return file, status.st_mtime_ns, status.st_size
