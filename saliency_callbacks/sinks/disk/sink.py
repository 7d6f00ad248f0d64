"""Raw maps to disk, so that they can be compared and rendered again later."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.sinks.addresses import is_remote
from saliency_callbacks.sinks.disk.archive import (
    FORMAT,
    INDEX_NAME,
    OBSERVATIONS_NAME,
    inside,
    parse_index,
    parse_observations,
)
from saliency_callbacks.sinks.disk.atomic import replace_file, replacing
from saliency_callbacks.sinks.disk.encoding import (
    finite_or_none,
    method_entry,
    observation_tensors,
    outline_entries,
    plain,
    table_entry,
)
from saliency_callbacks.sinks.disk.entries import ObservationEntry, ProbeEntry
from saliency_callbacks.sinks.disk.journal import append_line
from saliency_callbacks.sinks.disk.retention import KeepMaps, checked_retention
from saliency_callbacks.sinks.disk.tensor_file import write_tensors
from saliency_callbacks.sinks.image_files import encode_gif, encode_png, is_animation
from saliency_callbacks.sinks.names import file_stem, flat_name
from saliency_callbacks.types import Picture, ProbeView, Snapshot

__all__ = ["DiskSink"]


class DiskSink:
    """Keep the raw maps of every observation, with an index of what was observed.

    The layout is described in :mod:`saliency_callbacks.sinks.disk.archive`; read it back with
    :func:`~saliency_callbacks.sinks.read_index` and :func:`~saliency_callbacks.sinks.read_maps`.

    Every file is written atomically, and the observation's line in the index last: whatever it lists is there, and a
    killed run leaves no partial file. The line is appended, so the thousandth observation costs as much as the first.
    A later run in the same directory continues the index. An observation of the same step and stage replaces the
    earlier one. One process at a time may write.

    Args:
        directory: A local directory, made at the first observation. Relative paths are resolved now, since
            some launchers change the working directory later.
        pictures: Whether to write the pictures as well: PNG files, and GIF files where they are animations.
        keep_maps: Which observations keep their maps and pictures: ``"all"``, the number of the last ones,
            ``{"every": n}`` for each n-th one, or ``{"last": m, "every": n}`` for both. The first, before the training,
            and the newest always do. Scores, texts and tables are kept of all.

    Example:
        >>> import tempfile
        >>> from saliency_callbacks.sinks import read_index
        >>> sink = DiskSink(tempfile.mkdtemp())
        >>> sink.write(Snapshot(epoch=0, step=10, stage="fit", attributions={}, scores={"drift": 0.5}), {})
        >>> read_index(sink.directory)["observations"][0]["scores"]
        {'drift': 0.5}

    Raises:
        ConfigurationError: If ``directory`` is a file or a remote address, or ``keep_maps`` is empty or malformed.
    """

    def __init__(self, directory: str | PathLike[str], *, pictures: bool = False, keep_maps: KeepMaps = "all") -> None:
        if is_remote(os.fspath(directory)):
            raise ConfigurationError(
                f"directory={without_secrets(directory)!r} is a remote address; expected a local directory. A callback "
                "copies what it keeps to the address in storage=Storage(directory=…)"
            )
        self.directory = Path(directory).expanduser().absolute()
        if self.directory.exists() and not self.directory.is_dir():
            raise ConfigurationError(
                f"directory={str(self.directory)!r} is a file; expected a directory or an unused name"
            )
        self.keeps_pictures = pictures
        self.retention = checked_retention(keep_maps)
        self._files: dict[tuple[int, str], tuple[str, ...]] | None = None

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write one observation; see :class:`~saliency_callbacks.types.Sink`."""
        stem = file_stem(snapshot)
        file = f"maps/{stem}.safetensors"
        tensors = observation_tensors(snapshot)
        with replacing(inside(self.directory, file)) as opened:
            write_tensors(opened, tensors)
        written = self._write_pictures(stem, pictures) if self.keeps_pictures else {}
        observation = ObservationEntry(
            epoch=snapshot.epoch,
            step=snapshot.step,
            stage=snapshot.stage,
            file=file,
            ids=list(snapshot.ids),
            methods={name: method_entry(attribution) for name, attribution in snapshot.attributions.items()},
            scores={tag: finite_or_none(score) for tag, score in snapshot.scores.items()},
            metadata={str(key): plain(value) for key, value in snapshot.metadata.items()},
            pictures=written,
            texts=dict(snapshot.texts),
            tables={tag: table_entry(table) for tag, table in snapshot.tables.items()},
            alerts=dict(snapshot.alerts),
        )
        if snapshot.statistics is not None:
            observation["classes"] = list(snapshot.statistics.classes)
            observation["unreadable"] = dict(snapshot.statistics.unreadable)
        outlines = outline_entries(snapshot)
        if outlines:
            observation["outlines"] = outlines
        self._update_index(snapshot.probe)
        append_line(self.directory / OBSERVATIONS_NAME, observation)
        self._remove_superseded(observation)

    def _write_pictures(self, stem: str, pictures: Mapping[str, Picture]) -> dict[str, str]:
        files = {}
        for tag in pictures:
            picture = pictures.get(tag)
            if picture is None:
                # After Ctrl-C no more are drawn, and what was found is written all the same.
                continue
            encode, suffix = (encode_gif, "gif") if is_animation(picture) else (encode_png, "png")
            files[tag] = f"pictures/{flat_name(tag)}/{stem}.{suffix}"
            replace_file(inside(self.directory, files[tag]), encode(picture))
        return files

    def _update_index(self, probe: ProbeView | None) -> None:
        path = self.directory / INDEX_NAME
        is_new = not path.exists()
        known = None if is_new else self._known_probe(path)
        if probe is not None and (known is None or known["fingerprint"] != probe.fingerprint):
            known, is_new = self._write_probe(probe), True
        if is_new or not path.exists():
            replace_file(path, json.dumps({"format": FORMAT, "probe": known}, indent=1, allow_nan=False).encode())

    def _remove_superseded(self, newest: ObservationEntry) -> None:
        """Remove maps and pictures that ``keep_maps`` does not ask for, once the index no longer lists them."""
        if self.retention is None:
            return
        if self._files is None:
            entries, _ = parse_observations((self.directory / OBSERVATIONS_NAME).read_bytes())
            self._files = {(entry["step"], entry["stage"]): _files(entry) for entry in entries}
        now = (newest["step"], newest["stage"])
        self._files[now] = _files(newest)
        moments = list(self._files)
        for moment in map(moments.__getitem__, self.retention.superseded([stage for _, stage in moments])):
            if moment != now and self._files[moment]:
                gone = {"step": moment[0], "stage": moment[1], "file": None, "pictures": {}}
                append_line(self.directory / OBSERVATIONS_NAME, gone)
                for file in self._files[moment]:
                    inside(self.directory, file).unlink(missing_ok=True)
                self._files[moment] = ()

    def _write_probe(self, probe: ProbeView) -> ProbeEntry:
        file = f"probe-{re.sub(r'[^A-Za-z0-9]', '_', probe.fingerprint)[:12]}.safetensors"
        tensors = {name: getattr(probe, name) for name in ("images", "volumes", "labels", "masks")}
        with replacing(inside(self.directory, file)) as opened:
            write_tensors(opened, {name: tensor for name, tensor in tensors.items() if tensor is not None})
        entry = ProbeEntry(
            fingerprint=probe.fingerprint,
            file=file,
            ids=list(probe.ids),
            tokens=None if probe.tokens is None else [list(tokens) for tokens in probe.tokens],
            special=None if probe.special is None else [list(flags) for flags in probe.special],
            class_names=None if probe.class_names is None else list(probe.class_names),
            groups=None if probe.groups is None else list(probe.groups),
        )
        if probe.axis_names is not None:
            entry["axis_names"] = list(probe.axis_names)
        return entry

    def _known_probe(self, path: Path) -> ProbeEntry | None:
        # Outside the try: a disk that cannot be read for a moment is no reason to discard a good index.
        content = path.read_bytes()
        try:
            return parse_index(content, path)
        except ConfigurationError as error:
            aside = path.with_name(f"{INDEX_NAME}.corrupt")
            os.replace(path, aside)  # noqa: PTH105 - the name says that an existing file is replaced
            warnings.warn(
                f"{error}. It was moved to {aside.name!r} and a new index begins; the files it listed remain",
                SaliencyWarning,
                stacklevel=4,
            )
            return None


def _files(entry: ObservationEntry) -> tuple[str, ...]:
    return tuple(file for file in (entry["file"], *entry["pictures"].values()) if file is not None)
