"""Where a run's observations go: loggers, the disk, an address, and sinks of the user's own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.settings import Storage
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.sinks import DiskSink, sink_for_logger
from saliency_callbacks.sinks.disk.archive import INDEX_NAME
from saliency_callbacks.sinks.disk.remote_copy import RemoteCopy, new_run_name
from saliency_callbacks.sinks.loggers.directory import own_directory
from saliency_callbacks.types import Sink

__all__ = ["open_sinks"]


def open_sinks(
    host: Host,
    own: Sequence[Sink],
    *,
    namespace: str,
    storage: Storage,
    save_pictures: bool = False,
    resumed: bool,
    place: str | None = None,
    copies: Sequence[RemoteCopy] = (),
    run: str | None = None,
    on_error: str,
) -> SinkWriter:
    """Return the sinks of this run; on other ranks than zero, none. All ranks must call it.

    Args:
        host: The run.
        own: The user's sinks.
        namespace: Name of the directory in the run's directory.
        storage: What is kept on disk, and where.
        save_pictures: Whether to keep the pictures with the maps even where a logger shows them.
        resumed: Whether the run goes on from a checkpoint, and with it the directory.
        place: Name of that directory, if it is another than ``namespace``.
        copies: What copies what other callbacks of the run keep to an address, for one that has the same.
        run: Name of the run's directory at the address; ``None`` for a new one.
        on_error: ``"raise"`` to let a sink's failures through.
    """
    directory = storage.local_directory or host.run_directory()
    if not host.ranks.is_main:
        return SinkWriter([], on_error)
    if host.is_dry_run:
        return SinkWriter(own, on_error)
    of_loggers = [sink for sink in map(sink_for_logger, host.loggers) if sink is not None]
    sinks = [*own, *of_loggers]
    if not storage.save_maps:
        return SinkWriter(sinks, on_error)
    place = (place or namespace) if resumed else _free_place(directory, namespace)
    copy = None
    if storage.address is not None:
        copy = _copy_to(storage.address, directory, copies, run)
        copy.begin(place, is_resumed=resumed)
        if resumed and not (directory / place / INDEX_NAME).exists():
            _fetch(copy, place)
    keeps_pictures = save_pictures or not of_loggers
    sinks.append(DiskSink(directory / place, pictures=keeps_pictures, keep_maps=storage.keep_maps))
    if storage.local_directory is None and host.loggers and not any(map(own_directory, host.loggers)):
        logger = type(host.loggers[0]).__name__
        notices.tell_once(
            "where maps are", f"{logger} stores nothing on the local disk; the raw maps of this run are in {directory}"
        )
    return SinkWriter(sinks, on_error, directory, copy, place)


def _free_place(directory: Path, namespace: str) -> str:
    # Loggers without versions share a directory; an earlier run's maps must not pass for this one's.
    names = itertools.chain([namespace], (f"{namespace}-{n}" for n in itertools.count(1)))
    return next(name for name in names if not (directory / name / INDEX_NAME).exists())


def _copy_to(address: str, directory: Path, copies: Sequence[RemoteCopy], run: str | None) -> RemoteCopy:
    """Return the one that copies to an address: that of another callback, or a new one."""
    for one in copies:
        if one.parent == address:
            return one
    known = run or next((one.run for one in copies), None)
    copy = RemoteCopy(directory, address, known or new_run_name(directory))
    notices.tell_once(("copied to", address), f"this run is copied to {without_secrets(copy.address)}")
    return copy


def _fetch(copy: RemoteCopy, place: str) -> None:
    try:
        copy.fetch(place)
    except Exception as error:
        why = f"{type(error).__name__}: {without_secrets(error)}"
        notices.warn(
            "earlier observations not fetched",
            f"earlier observations are not on this machine and could not be fetched ({why}); they stay where they are, "
            "but the report of this run will not include them",
        )
