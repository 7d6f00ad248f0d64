"""What a generator proposes, how it is counted on other samples, and how it is put to the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from saliency_callbacks.discovery.changes import Change
from saliency_callbacks.discovery.reader import ModelReader

__all__ = ["Candidate", "Count", "Generator", "Trial"]


@dataclass(frozen=True, eq=False)
class Count:
    """How often the samples that count bear a candidate.

    Args:
        bears: Which samples of the whole probe bear it, bool ``[N]``.
        typical: How typical a bearer is, ``[N]``; larger is more.
        p_value: Probability of such a difference by chance, the largest over the other classes; not corrected.
        doubtful: Which samples may bear it, though they do not count as bearers, bool ``[N]``; none by default.
    """

    bears: Tensor
    typical: Tensor
    p_value: float
    doubtful: Tensor | None = None

    @property
    def lacks(self) -> Tensor:
        """Which samples do not bear it beyond doubt, bool ``[N]``."""
        return ~self.bears if self.doubtful is None else ~(self.bears | self.doubtful)


@dataclass(frozen=True, eq=False)
class Trial:
    """Samples of other classes, with the candidate and with controls put into them.

    Args:
        recipients: Their positions in the probe, ``int64 [R]``.
        with_cue: Their inputs with the cue, ``[R, …]``.
        controls: Their inputs with the same change but without the cue, each ``[R, …]``.
        statistic: ``"effect"``, or ``"contrast"`` for what changes the whole input.
        change: What puts the cue into an input.
        region: Where it is in its first bearer, bool ``[H, W]``; ``None`` where it has no place.
        bearers: Positions of the bearers that ``marks`` are about, the most typical first; all of the class by default.
        marks: Where they bear it; see :class:`~saliency_callbacks.discovery.exhibit.Exhibit`.
        is_conclusive: Whether an effect tells a cue from the nature of a class; not where too few classes tell how far
            they differ by nature.
        what: The candidate in plain words, where the trial knows better than the candidate.
    """

    recipients: Tensor
    with_cue: Tensor
    controls: Sequence[Tensor]
    statistic: str
    change: Change
    region: Tensor | None = None
    bearers: Tensor | None = None
    marks: Tensor | None = None
    is_conclusive: bool = True
    what: str | None = None


class Candidate(Protocol):
    """Something that many samples of one class may have in common."""

    @property
    def class_index(self) -> int:
        """The class c."""

    def count(self, samples: Any) -> Count | None:
        """Count who bears it, on the samples that count; ``None`` where it is none by the rules of its kind."""

    def trial(self, samples: Any, count: Count) -> Trial | None:
        """Put it into samples of other classes that do not bear it; ``None`` where there are none, or no controls."""

    @property
    def what(self) -> str:
        """The candidate in plain words, as part of a sentence."""


class Generator(Protocol):
    """Proposes candidates of one kind."""

    @property
    def kind(self) -> str:
        """What it finds, in one word."""

    def propose(self, samples: Any, reader: ModelReader) -> tuple[Sequence[Candidate], int]:
        """Return candidates by the samples that propose, and how many were looked at, for the correction."""
