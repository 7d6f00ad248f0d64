"""Reading the samples that are not shown, with a bar that shows how far that is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from tqdm import tqdm

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.streaming.others import OtherSamples
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe.batch import ProbeBatch

__all__ = ["read_others", "rows_at_once"]

_LEAST_ROWS = 64
_PATIENCE = 5.0
"""Seconds after which a bar shows how far an observation is."""


def rows_at_once(settings: Settings) -> int:
    """Return how many samples are read and run at a time."""
    return max(_LEAST_ROWS, settings.internal_batch_size or 0)


def read_others(others: OtherSamples, host: Host, settings: Settings) -> Generator[ProbeBatch]:
    """Yield the samples that are not shown, a few at a time; all ranks must call it, and close what it returns.

    Args:
        others: The samples.
        host: The run.
        settings: How they are run.

    Raises:
        ProbeError: If a batch of them cannot be read.
    """
    bar = tqdm(
        desc=f"{others.title}: samples",
        total=others.n_samples,
        initial=others.shown.size,
        unit="sample",
        delay=_PATIENCE,
        leave=False,
        disable=not host.shows_progress,
    )
    with closing(others.chunks(host, rows_at_once(settings))) as chunks, bar:
        for chunk in chunks:
            yield chunk
            bar.update(chunk.size)
