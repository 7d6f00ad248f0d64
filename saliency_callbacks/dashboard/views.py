"""What the page asks for: runs without their maps, single maps, and pictures."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from saliency_callbacks.dashboard.answers import Answer, RequestError, dump
from saliency_callbacks.dashboard.found_runs import FoundRun
from saliency_callbacks.dashboard.links import Links
from saliency_callbacks.dashboard.live_run import LiveRun, read_method, read_outlines
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.comparison import check_comparable, pairs
from saliency_callbacks.report.monitors import ExplainedObservation, Monitor
from saliency_callbacks.report.payload import payload_of
from saliency_callbacks.report.pictures.samples import slice_pictures
from saliency_callbacks.report.pictures.sprites import Quality, encode_text, shared_scales, sprite
from saliency_callbacks.report.pictures.statistics import draw_class_picture
from saliency_callbacks.report.run_contents import Contents
from saliency_callbacks.sinks.disk.archive import inside
from saliency_callbacks.sinks.disk.array_file import Array
from saliency_callbacks.sinks.disk.arrays import StoredProbe
from saliency_callbacks.sinks.disk.shown import LONGEST_SIDE, Maps, Plane

__all__ = ["Views"]

_MOST_RUNS = 8
_MOST_PAYLOADS = 4
_QUALITY = Quality(LONGEST_SIDE, lossless=False)
_LARGEST_PICTURE = 50_000_000
# Maps of volumes that are kept in memory.
_MOST_BYTES = 200_000_000
_KINDS = {".png": ("image/png", b"\x89PNG"), ".gif": ("image/gif", b"GIF8"), ".webp": ("image/webp", b"RIFF")}


class Views:
    """Answers of what is in runs; of a few runs, what was read is kept."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: OrderedDict[str, LiveRun] = OrderedDict()
        self._payloads: OrderedDict[str, bytes] = OrderedDict()
        self._volumes: OrderedDict[tuple[Path, str, str], Maps] = OrderedDict()

    def run(self, found: Sequence[FoundRun]) -> Answer:
        """Return everything about one run, or two side by side, except their maps.

        Raises:
            RequestError: If there is nothing to show, or two runs cannot be compared.
        """
        read = [self._contents(one) for one in found]
        versions, contents = [version for version, _ in read], [content for _, content in read]
        etag = _digest(*(part for one, version in zip(found, versions, strict=True) for part in (one.id, version)))
        return Answer(partial(self._payload, etag, found, contents, versions), "application/json", etag)

    def map(
        self,
        found: Sequence[FoundRun],
        monitor: str,
        moment: tuple[int, str],
        method: str,
        place: tuple[int, int] | None = None,
    ) -> Answer:
        """Return the maps of one method in one observation of the first run; the second shares its scale.

        Args:
            found: One run, or two.
            monitor: Name of a monitor of the first.
            moment: Step and stage of an observation.
            method: Name of the method.
            place: Of volumes axis and slice; by default the middle of the first axis.

        Raises:
            RequestError: If they are not kept, or there is no such slice.
        """
        contents = [self._contents(one)[1] for one in found]
        _named(contents[0].monitors, monitor)
        for pair in _pairs(contents):
            for one in pair[0].observations:
                is_asked_for = (one.entry["step"], one.entry["stage"]) == moment and method in one.scales
                if pair[0].archive.name == monitor and is_asked_for:
                    shared = shared_scales([other for each in pair for other in each.observations], method)
                    state = _state(pair[0], one)
                    plane = _plane(pair[0].probe, place)
                    etag = _digest(found[0].id, monitor, method, *moment, state, plane, shared.tobytes().hex())
                    read = partial(self._maps, pair[0], one, method, state)
                    drawn = partial(read_outlines, pair[0], one.entry, method, plane)
                    encode = partial(_encoded, read, drawn, pair[0].probe, plane, shared)
                    return Answer(encode, "application/json", etag)
        raise _gone(f"the {method} map of step {moment[0]}")

    def slice(self, found: FoundRun, monitor: str, place: tuple[int, int]) -> Answer:
        """Return the pictures of one slice of all samples, and of their masks.

        Raises:
            RequestError: If there are no volumes, or no such slice.
        """
        _, content = self._contents(found)
        shown = _named(content.monitors, monitor)
        probe, plane = shown.probe, _plane(shown.probe, place)
        if plane is None:
            raise RequestError(HTTPStatus.NOT_FOUND, f"{monitor} has no slices: {_why_no_slices(shown)}")
        etag = _digest(found.id, monitor, probe.fingerprint, plane)
        return Answer(lambda: dump(slice_pictures(probe, plane.axis, [plane.index])), "application/json", etag)

    def _maps(self, monitor: Monitor, one: ExplainedObservation, method: str, state: str) -> Maps:
        """Read the maps of one method; those of a few volumes are kept, as one goes from slice to slice."""
        if monitor.probe.volumes is None:
            return read_method(monitor, one.entry, method)
        key = (monitor.archive.directory, method, state)
        with self._lock:
            known = self._volumes.pop(key, None)
        maps = known or read_method(monitor, one.entry, method)
        with self._lock:
            self._volumes[key] = maps
            while sum(kept.cells.nbytes for kept in self._volumes.values()) > _MOST_BYTES and len(self._volumes) > 1:
                self._volumes.popitem(last=False)
        return maps

    def picture(self, found: FoundRun, archive: str, file: str) -> Answer:
        """Return a picture that a callback drew.

        Raises:
            RequestError: If it is not kept.
        """
        _, content = self._contents(found)
        for one in content.run.archives:
            # Only what the index lists: a path is never taken as it comes.
            if one.name == archive and any(file in entry["pictures"].values() for entry in one.observations):
                return _picture_file(one.directory, file)
        raise _gone(f"the picture {file!r} of {archive}")

    def drawing(self, found: FoundRun, archive: str, name: str) -> Answer:
        """Return a picture that is drawn now.

        Raises:
            RequestError: If there is none of that name.
        """
        version, content = self._contents(found)
        monitor = next((one for one in content.monitors if one.archive.name == archive), None)
        if monitor is None or f"{archive}/{name}" not in [one["tag"] for one in content.class_pictures]:
            raise _gone(f"the picture {name!r} of {archive}")
        return Answer(partial(_drawn, monitor, name), "image/webp", _digest(found.id, archive, name, version))

    def _contents(self, found: FoundRun) -> tuple[str, Contents]:
        with self._lock:
            live = self._runs.pop(found.id, None) or LiveRun(found)
            self._runs[found.id] = live
            while len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)
        return live.contents(found)

    def _payload(
        self, etag: str, found: Sequence[FoundRun], contents: Sequence[Contents], versions: Sequence[str]
    ) -> bytes:
        with self._lock:
            known = self._payloads.get(etag)
        if known is not None:
            return known
        try:
            check_comparable(contents)
        except ConfigurationError as error:
            raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        links = Links(
            {
                archive.directory: (one.id, archive.name)
                for one, content in zip(found, contents, strict=True)
                for archive in content.run.archives
            }
        )
        content = {**payload_of(contents, links), "versions": list(versions)}
        try:
            encoded = dump(content)
        except ValueError as error:
            names = " and ".join(one.id for one in found)
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"the index of {names} contains a number that is not finite, so it must have been edited",
            ) from error
        with self._lock:
            self._payloads[etag] = encoded
            while len(self._payloads) > _MOST_PAYLOADS:
                self._payloads.popitem(last=False)
        return encoded


def _pairs(contents: Sequence[Contents]) -> list[tuple[Monitor, ...]]:
    matched = pairs(contents)
    alone = [(monitor,) for monitor in contents[0].monitors if not any(pair[0] is monitor for pair in matched)]
    return [*matched, *alone]


def _named(monitors: Sequence[Monitor], name: str) -> Monitor:
    for monitor in monitors:
        if monitor.archive.name == name:
            return monitor
    raise RequestError(HTTPStatus.NOT_FOUND, f"there is no monitor {name!r}")


def _why_no_slices(monitor: Monitor) -> str:
    if monitor.volume_size is None:
        return "its samples are not volumes"
    return "an earlier version kept the picture of the middle slice alone"


def _plane(probe: StoredProbe, place: tuple[int, int] | None) -> Plane | None:
    """Return the slice of volumes that is asked for; ``None`` where there are none.

    Raises:
        RequestError: If it is outside of them.
    """
    if probe.volumes is None:
        return None
    sizes = probe.volumes.shape[1:4]
    axis, index = (0, sizes[0] // 2) if place is None else place
    if not 0 <= axis < len(sizes):
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"there is no axis {axis}: the volumes have axes 0 to {len(sizes) - 1}"
        )
    if not 0 <= index < sizes[axis]:
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            f"there is no slice {index} along axis {axis} of volumes of {' × '.join(map(str, sizes))}",
        )
    return Plane(axis, index, sizes[axis])


def _encoded(
    read: Callable[[], Maps],
    read_drawn: Callable[[], dict[str, Any]],
    probe: StoredProbe,
    plane: Plane | None,
    shared: Array,
) -> bytes:
    try:
        maps, outlines = read(), read_drawn()
    except (ConfigurationError, KeyError, ValueError) as error:
        raise RequestError(HTTPStatus.NOT_FOUND, str(error)) from error
    if probe.images is None:
        return dump(encode_text(maps))
    return dump({**sprite(maps if plane is None else maps.cut(plane), shared, _QUALITY), "outlines": outlines})


def _drawn(monitor: Monitor, name: str) -> bytes:
    try:
        pixels = draw_class_picture(monitor, name)
    except (ConfigurationError, KeyError, ValueError) as error:
        raise RequestError(HTTPStatus.NOT_FOUND, str(error)) from error
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, "webp", quality=88, method=2)
    return buffer.getvalue()


def _picture_file(directory: Path, file: str) -> Answer:
    try:
        path = inside(directory, file)
        kind, beginning = _KINDS[path.suffix.lower()]
        status = path.stat()
        if status.st_size > _LARGEST_PICTURE:
            raise _gone(f"the picture {file!r}, which is larger than any picture this package writes,")
        content = path.read_bytes()
    except (OSError, ConfigurationError, KeyError) as error:
        raise _gone(f"the picture {file!r}") from error
    if not content.startswith(beginning):
        raise _gone(f"the picture {file!r}, which is damaged,")
    return Answer(lambda: content, kind, _digest(file, status.st_mtime_ns, status.st_size))


def _state(monitor: Monitor, one: ExplainedObservation) -> str:
    try:
        status = inside(monitor.archive.directory, one.entry["file"] or "").stat()
    except (OSError, ConfigurationError) as error:
        raise _gone(f"the map of step {one.entry['step']}") from error
    return f"{status.st_mtime_ns} {status.st_size}"


def _gone(what: str) -> RequestError:
    return RequestError(HTTPStatus.NOT_FOUND, f"{what} is no longer available")


def _digest(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()[:32]
