"""What an evaluation takes where most samples of the probe are not shown."""

from __future__ import annotations

from saliency_callbacks.callbacks.streaming.capacity import Footprint, bytes_of_sample
from saliency_callbacks.probe.batch import ProbeBatch

__all__ = ["cue_footprint"]

_N_COPIES = 8
"""Copies of a sample while a cue is put into it: as the model takes it, on the display scale, without and with."""


def cue_footprint(shown: ProbeBatch, n_samples: int, n_rows: int) -> Footprint:
    """Return what an evaluation takes.

    Args:
        shown: The samples that are shown.
        n_samples: Number of all samples.
        n_rows: How many are read at a time.
    """
    # Outputs in float32 without the cue, with it, and with it removed, and what is computed of them.
    n_classes = 2 if shown.labels is None else 1 + int(shown.labels.max())
    of_outputs = 4 * 8 * n_classes * n_samples
    return Footprint(
        of_outputs + (n_rows + shown.size) * bytes_of_sample(shown) * _N_COPIES, fewer="fewer rows at once"
    )
