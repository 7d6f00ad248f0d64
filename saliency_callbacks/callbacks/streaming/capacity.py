"""What a streamed probe takes of memory and disk, told and checked before the first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.streaming.capacity import available_memory, bytes_of, check_fits, free_disk, in_words

__all__ = ["Footprint", "Footprints", "bytes_of_sample", "check_capacity"]


class Footprint(NamedTuple):
    """What an observation takes, beside what the model itself does.

    Args:
        memory: Bytes of memory.
        disk: Bytes of disk, where it is kept.
        fewer: Of what there could be less, beside the samples.
    """

    memory: int
    disk: int = 0
    fewer: str = "fewer methods"


Footprints = Callable[[ProbeBatch, int, int], Footprint]
"""From the shown samples, the number of all, and how many are read at a time."""


def bytes_of_sample(shown: ProbeBatch) -> int:
    """Return the bytes of the inputs of one sample."""
    return bytes_of(shown.inputs) // shown.size


def check_capacity(taken: Footprint, shown: ProbeBatch, n_samples: int, n_rows: int, directory: Path | None) -> None:
    """Check that memory and disk are enough for an observation, and say what it takes.

    The model's own activations are not counted: ``Compute(internal_batch_size=…)`` bounds these.

    Args:
        taken: What it takes.
        shown: The samples that are shown.
        n_samples: Number of all samples.
        n_rows: How many are read at a time.
        directory: Where it is kept; ``None`` where it is not.

    Raises:
        ProbeError: If there is not enough.
    """
    what = f"{n_samples} samples of {in_words(bytes_of_sample(shown))}, {shown.size} of them shown"
    fix = (
        f"Show fewer than {shown.size} samples with Probe(shown=…), or choose {taken.fewer} or a smaller Probe(size=…)"
    )
    check_fits(taken.memory, available_memory(), what, "memory", fix)
    if directory is not None:
        check_fits(taken.disk, free_disk(directory), what, f"disk in {str(directory)!r} for one observation", fix)
    on_disk = "" if directory is None else f" and {in_words(taken.disk)} of disk"
    notices.tell_once(
        ("streamed probe", n_samples),
        f"{n_samples} samples are explained {n_rows} at a time, {shown.size} of them are shown; an observation takes "
        f"about {in_words(taken.memory)} of memory{on_disk}, in addition to the model itself",
    )
