"""Preparing a streamed probe before the first step: what is shown, what is streamed, and whether it all fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.settings import ModelReading, Storage
from saliency_callbacks.callbacks.saliency.streaming.capacity import check_capacity
from saliency_callbacks.callbacks.saliency.streaming.others import OtherSamples, freeze_shown, is_streamed
from saliency_callbacks.callbacks.saliency.streaming.probe import rows_at_once
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe.probe import Probe

__all__ = ["prepared_stream"]


def prepared_stream(
    host: Host,
    probe: Probe,
    saved_indices: Sequence[int] | None,
    *,
    reading: ModelReading,
    settings: Settings,
    storage: Storage,
) -> OtherSamples | None:
    """Freeze the shown samples and choose the others; ``None`` where all are shown. All ranks must call it.

    Args:
        host: The run.
        probe: The whole probe.
        saved_indices: Positions of the shown samples in a checkpoint.
        reading: How the model is read.
        settings: How it is explained.
        storage: What is kept on disk.

    Raises:
        ProbeError: If the data cannot be read, or memory or disk is not enough.
    """
    with host.ranks.together():
        streams = is_streamed(host, probe)
    # Ranks may have datasets of their own, and have to go the same way.
    if not host.ranks.from_zero(streams):
        return None
    with host.ranks.together():
        shown = freeze_shown(host, probe, saved_indices, module=reading.module, shared=reading.shared)
        others = OtherSamples.of(host, probe, shown, reading.module)
    others = replace(others, positions=host.ranks.from_zero(others.positions))
    directory = _directory(host, storage)
    with host.ranks.together():
        n_samples = shown.size + len(others.positions)
        check_capacity(shown, n_samples, rows_at_once(settings), len(settings.methods), directory)
    return others


def _directory(host: Host, storage: Storage) -> Path | None:
    """Return where maps are kept; ``None`` where none are. All ranks must call it."""
    if not storage.save_maps or host.is_dry_run:
        return None
    return storage.local_directory or host.run_directory()
