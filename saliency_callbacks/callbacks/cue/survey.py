"""What a cue does to every sample of a probe, found once before the test; most may be read a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor

from saliency_callbacks.callbacks.cue.probe import AnyCue, CueProbe
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import CueError
from saliency_callbacks.probe.batch import ProbeBatch

__all__ = ["FurtherSamples", "Survey", "no_further_samples", "survey"]

FurtherSamples = Callable[[], Generator[ProbeBatch]]
"""Yields the samples of a probe that are not shown, a few at a time, anew at every call."""

_FEW = 8
_MOST_OF_A_SAMPLE = 0.5


def no_further_samples() -> Generator[ProbeBatch]:
    """Yield nothing: all samples are shown."""
    yield from ()


class Survey(NamedTuple):
    """What a cue does to all samples of a probe.

    Args:
        changed: Samples that the cue changes, bool ``[N]``.
        usable: Samples that can tell: not of the suspect class, and changed by the cue; bool ``[N]``.
        bearing: Samples from which the cue can be removed, bool ``[N]``.
        covered: Share of each sample that the cue covers, ``[N]``.
        classes: The classes that the samples have; ``None`` without labels.
    """

    changed: Tensor
    usable: Tensor
    bearing: Tensor
    covered: Tensor
    classes: list[int] | None

    @property
    def is_global(self) -> bool:
        """Whether the cue changes most of a sample, and so may move every class."""
        return float(self.covered.mean()) > _MOST_OF_A_SAMPLE

    def check_usable(self, cue: AnyCue, suspect_class: int) -> None:
        """Check that samples can tell something about a cue, and warn where they are few.

        Raises:
            CueError: If there is none.
        """
        count = int(self.usable.sum())
        if count == 0:
            raise CueError(
                f"cue {cue.name!r}: the probe has no sample outside class {suspect_class} that the cue changes (labels "
                f"{self.classes}); expected samples of other classes without the cue. Use a larger probe, or choose "
                "samples with Probe(indices=…)"
            )
        if count < _FEW:
            notices.warn(
                ("few samples", cue.name),
                f"cue {cue.name!r}: only {counted(count, 'sample')} of the probe can be used (outside class "
                f"{suspect_class}, and changed by the cue); with fewer than {_FEW}, the lower bound is unreliable. Use "
                "a larger probe, e.g. probe=32",
            )


def survey(shown: CueProbe, others: FurtherSamples) -> Survey:
    """Find what a cue does to the samples that are shown, and to the others, of which nothing else is kept."""
    flags: list[tuple[Tensor, ...]] = []
    classes: set[int] | None = set()
    for part in _parts(shown, others):
        flags.append((part.changed, part.usable, part.bearing, part.covered))
        labels = part.batch.labels
        classes = None if labels is None or classes is None else classes.union(labels.tolist())
    changed, usable, bearing, covered = map(torch.cat, zip(*flags, strict=True))
    return Survey(changed, usable, bearing, covered, None if classes is None else sorted(classes))


def _parts(shown: CueProbe, others: FurtherSamples) -> Iterator[CueProbe]:
    yield shown
    with closing(others()) as chunks:
        yield from map(shown.like, chunks)
