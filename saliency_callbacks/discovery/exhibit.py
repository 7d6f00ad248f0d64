"""The samples that a person decides by: those with the cue, those without, and others before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Exhibit"]


@dataclass(frozen=True, eq=False)
class Exhibit:
    """The samples behind a suspicion about class c.

    Args:
        bearing: A few samples of class c that bear the cue, the most typical first: ``[B, C, H, W]`` in [0, 1], or ids
            ``[B, T]``.
        marks: Where they bear it, bool ``[B, H, W]`` or ``[B, T]``; ``None`` where it has no place.
        lacking: A few samples of class c without it.
        before: A few samples of other classes ``[R, …]``.
        after: The same with the cue.
        labels: Class of each of these, ``int64 [R]``.
        predictions: Predicted class of each before and after, ``int64 [R, 2]``.
        margins: Their margin m_c before and after, ``[R, 2]`` in logits.
    """

    bearing: Tensor
    marks: Tensor | None
    lacking: Tensor
    before: Tensor
    after: Tensor
    labels: Tensor
    predictions: Tensor
    margins: Tensor

    def __post_init__(self) -> None:
        counts: dict[str, Any] = {
            name: len(getattr(self, name)) for name in ("before", "after", "labels", "predictions", "margins")
        }
        assert len(set(counts.values())) == 1, counts
