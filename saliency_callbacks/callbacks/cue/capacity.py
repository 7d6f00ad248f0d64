"""What an evaluation takes where most samples of the probe are not shown."""

from __future__ import annotations

from saliency_callbacks.callbacks.outputs import count_classes
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.streaming.capacity import Footprint, bytes_of_sample
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe

__all__ = ["cue_footprint"]

_N_COPIES = 8
"""Copies of a sample while a cue is put into it: as the model takes it, on the display scale, without and with."""


def cue_footprint(probe: Probe, host: Host, shown: ProbeBatch, n_samples: int, n_rows: int) -> Footprint:
    """Return what an evaluation takes.

    Args:
        probe: The whole probe.
        host: The run, whose data tells how many classes there are.
        shown: The samples that are shown.
        n_samples: Number of all samples.
        n_rows: How many are read at a time.
    """
    known = count_classes(host, probe, shown)
    # The shown samples may not be of every class.
    of_shown = 2 if shown.labels is None else 1 + int(shown.labels.max())
    n_classes = of_shown if known is None else max(of_shown, known.n_classes)
    # Outputs in float32 without the cue, with it, and with it removed, and what is computed of them.
    of_outputs = 4 * 8 * n_classes * n_samples
    return Footprint(
        of_outputs + (n_rows + shown.size) * bytes_of_sample(shown) * _N_COPIES,
        fewer="a smaller Compute(internal_batch_size=…)",
    )
