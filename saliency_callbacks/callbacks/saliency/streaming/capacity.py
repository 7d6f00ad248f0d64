"""What a streamed probe takes of memory and disk, told and checked before the first step."""

from __future__ import annotations

from pathlib import Path

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.saliency.streaming.means import MAX_CLASSES
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.streaming.capacity import available_memory, bytes_of, check_fits, free_disk, in_words

__all__ = ["check_capacity"]

_N_SCORES = 16
"""Numbers that are kept of a sample for each method."""


def check_capacity(shown: ProbeBatch, n_samples: int, n_rows: int, n_methods: int, directory: Path | None) -> None:
    """Check that memory and disk are enough for an observation, and say what it takes.

    The model's own activations are not counted: ``Compute(internal_batch_size=…)`` bounds these.

    Args:
        shown: The samples that are shown.
        n_samples: Number of all samples.
        n_rows: How many are explained at a time.
        n_methods: How many maps there are of each.
        directory: Where maps are kept; ``None`` where none are.

    Raises:
        ProbeError: If there is not enough.
    """
    of_sample = bytes_of(shown.inputs) // shown.size
    n_classes = 1 + (0 if shown.labels is None else min(MAX_CLASSES, int(shown.labels.max()) + 1))
    kept = 4 * _N_SCORES * n_methods * n_samples
    of_classes = n_methods * n_classes * of_sample
    # Values, magnitude, heatmap and ranks of each map, and what is computed on the way.
    memory = kept + 4 * of_classes + (n_rows + shown.size) * of_sample * (2 + 4 * n_methods)
    disk = kept + 2 * of_classes + shown.size * of_sample * n_methods
    fix = (
        f"Show fewer than {shown.size} samples with Probe(shown=…), or choose fewer methods or a smaller Probe(size=…)"
    )
    what = f"{n_samples} samples of {in_words(of_sample)}, {shown.size} of them shown with {n_methods} maps each"
    check_fits(memory, available_memory(), what, "memory", fix)
    if directory is not None:
        check_fits(disk, free_disk(directory), what, f"disk in {str(directory)!r} for one observation", fix)
    on_disk = "" if directory is None else f" and {in_words(disk)} of disk"
    notices.tell_once(
        ("streamed probe", n_samples),
        f"{n_samples} samples are explained {n_rows} at a time, {shown.size} of them are shown; an observation takes "
        f"about {in_words(memory)} of memory{on_disk}, in addition to the model itself",
    )
