"""What a monitor's observation of a streamed probe takes of memory and disk."""

from __future__ import annotations

from saliency_callbacks.callbacks.saliency.streaming.means import MAX_CLASSES
from saliency_callbacks.callbacks.streaming.capacity import Footprint, bytes_of_sample
from saliency_callbacks.probe.batch import ProbeBatch

__all__ = ["monitor_footprint", "text_footprint"]

_N_SCORES = 16
"""Numbers that are kept of a sample for each method."""


def monitor_footprint(shown: ProbeBatch, n_samples: int, n_rows: int, *, n_methods: int) -> Footprint:
    """Return what an observation takes: as of text inputs, and the means of classes.

    Args:
        shown: The samples that are shown.
        n_samples: Number of all samples.
        n_rows: How many are explained at a time.
        n_methods: How many maps there are of each.
    """
    alike = text_footprint(shown, n_samples, n_rows, n_methods=n_methods)
    n_classes = 1 + (0 if shown.labels is None else min(MAX_CLASSES, int(shown.labels.max()) + 1))
    of_classes = n_methods * n_classes * bytes_of_sample(shown)
    return Footprint(memory=alike.memory + 4 * of_classes, disk=alike.disk + 2 * of_classes)


def text_footprint(shown: ProbeBatch, n_samples: int, n_rows: int, *, n_methods: int) -> Footprint:
    """Return what an observation of text inputs takes, of which there are no means of classes.

    Args:
        shown: The samples that are shown.
        n_samples: Number of all samples.
        n_rows: How many are explained at a time.
        n_methods: How many maps there are of each.
    """
    of_sample = bytes_of_sample(shown)
    kept = 4 * _N_SCORES * n_methods * n_samples
    return Footprint(
        # Values, magnitude, heatmap and ranks of each map, and what is computed on the way.
        memory=kept + (n_rows + shown.size) * of_sample * (2 + 4 * n_methods),
        disk=kept + shown.size * of_sample * n_methods,
    )
