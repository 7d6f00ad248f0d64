"""Where a run's observations go: loggers, the disk, an address, and sinks of the user's own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.settings import Storage
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.sinks import DiskSink, sink_for_logger
from saliency_callbacks.sinks.disk.archive import INDEX_NAME
from saliency_callbacks.sinks.disk.remote_copy import RemoteCopy
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
    place = (place or namespace) if resumed else _free_place(directory, namespace, storage.address)
    copy = None if storage.address is None else RemoteCopy(directory, storage.address, place)
    if resumed and copy is not None and not (directory / place / INDEX_NAME).exists():
        _fetch(copy)
    keeps_pictures = save_pictures or not of_loggers
    sinks.append(DiskSink(directory / place, pictures=keeps_pictures, keep_maps=storage.keep_maps))
    if storage.local_directory is None and host.loggers and not any(map(own_directory, host.loggers)):
        logger = type(host.loggers[0]).__name__
        notices.tell_once(
            "where maps are", f"{logger} stores nothing on the local disk; the raw maps of this run are in {directory}"
        )
    return SinkWriter(sinks, on_error, directory, copy, place)


def _free_place(directory: Path, namespace: str, address: str | None) -> str:
    # Loggers without versions share a directory; an earlier run's maps must not pass for this one's.
    names = itertools.chain([namespace], (f"{namespace}-{n}" for n in itertools.count(1)))
    free = (name for name in names if not (directory / name / INDEX_NAME).exists())
    if address is None:
        return next(free)
    try:
        return next(name for name in free if not RemoteCopy(directory, address, name).is_there())
    except Exception as error:
        name = f"{namespace}-{uuid4().hex[:8]}"
        why = f"{type(error).__name__}: {without_secrets(error)}"
        notices.warn(
            "address not read",
            f"{without_secrets(address)!r} cannot be read ({why}); as soon as it can be written to, this run is copied "
            f"to {name!r} there, which replaces nothing",
        )
        return name


def _fetch(copy: RemoteCopy) -> None:
    try:
        copy.fetch()
    except Exception as error:
        why = f"{type(error).__name__}: {without_secrets(error)}"
        notices.warn(
            "former observations not read",
            f"earlier observations are not on this machine and cannot be read ({why}); they stay where they are, but "
            "the report of this run will not include them",
        )
