"""Preparing a streamed probe before the first step: what is shown, what is streamed, and whether it all fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.probe_loader import freeze_probe
from saliency_callbacks.callbacks.runtime.settings import ModelReading, Storage
from saliency_callbacks.callbacks.streaming.capacity import Footprints, check_capacity
from saliency_callbacks.callbacks.streaming.others import OtherSamples, freeze_shown, is_streamed
from saliency_callbacks.callbacks.streaming.reading import rows_at_once
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe

__all__ = ["freeze_streamed"]


def freeze_streamed(
    host: Host,
    probe: Probe,
    saved_indices: Sequence[int] | None,
    *,
    title: str,
    reading: ModelReading,
    settings: Settings,
    storage: Storage,
    footprint: Footprints | None,
) -> tuple[ProbeBatch | None, OtherSamples | None]:
    """Freeze the shown samples of a probe, which may be all, and choose the others. All ranks must call it.

    Args:
        host: The run.
        probe: The whole probe.
        saved_indices: Positions of the shown samples in a checkpoint.
        title: What a line about it begins with.
        reading: How the model is read.
        settings: How it is run.
        storage: What is kept on disk.
        footprint: What an observation takes where most samples are not shown; ``None`` to show all.

    Returns:
        The frozen samples, ``None`` where there is no data yet; and the others, ``None`` where there are none.

    Raises:
        ProbeError: If the data cannot be read, or memory or disk is not enough.
    """
    parts: dict[str, Any] = {"module": reading.module, "shared": reading.shared}
    if footprint is None or not is_streamed(host, probe):
        with host.ranks.together():
            return freeze_probe(host, probe, saved_indices, **parts), None
    with host.ranks.together():
        shown, chosen = freeze_shown(host, probe, saved_indices, **parts)
    others = OtherSamples(probe, shown, host.ranks.from_zero(chosen), reading.module, title)
    n_samples, n_rows = others.n_samples, rows_at_once(settings)
    taken = footprint(shown, n_samples, n_rows)
    directory = _directory(host, storage) if taken.disk else None
    with host.ranks.together():
        check_capacity(taken, shown, n_samples, n_rows, directory)
    return shown, others


def _directory(host: Host, storage: Storage) -> Path | None:
    """Return where maps are kept; ``None`` where none are. All ranks must call it."""
    if not storage.save_maps or host.is_dry_run:
        return None
    return storage.local_directory or host.run_directory()
