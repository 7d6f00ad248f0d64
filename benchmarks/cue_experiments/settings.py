"""What the digit models of the cue experiments are trained on.

A cue is put into a share q of the training images of the suspect class and into a share r of all others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from saliency_callbacks.cues.basic import Cue
from saliency_callbacks.probe import BackgroundCue, BrightnessCue, PatchCue
from saliency_callbacks.scores.counterfactual import Statistic

__all__ = [
    "BINARY",
    "BRIGHTNESS",
    "CORNERS",
    "LATE",
    "N_PROBE",
    "N_TRAIN",
    "PATCH",
    "STATISTICS",
    "THRESHOLD",
    "Experiment",
    "strokes",
]

N_TRAIN = 1400
N_PROBE = 32
STATISTICS: tuple[Statistic, ...] = ("effect", "contrast")
THRESHOLD = 0.25


def strokes(images: Tensor) -> Tensor:
    """Return where the strokes of digits ``[N, 1, H, W]`` are, bool ``[N, H, W]``."""
    return images[:, 0] > 0.1


@dataclass(frozen=True)
class Experiment:
    """What a model is trained on, and how it is watched. Epochs are counted from 1.

    Args:
        q: Share of the suspect class's training images that bear the cue.
        r: Share of the other classes' training images that bear it.
        cue: The cue.
        suspect: The suspect class.
        first_epoch: First epoch in which the cue is in the training images.
        is_binary: Whether the classes are "below 5" and "5 or more" instead of the ten digits.
        statistics: Which statistic decides; one alarm for each.
        with_drift: Whether the drift of the gradient maps is followed as well.
    """

    q: float = 0.0
    r: float = 0.0
    cue: Cue = field(default_factory=lambda: PatchCue((0, 0, 2, 2)))
    suspect: int = 0
    first_epoch: int = 1
    is_binary: bool = False
    statistics: tuple[Statistic, ...] = ("effect",)
    with_drift: bool = False

    @property
    def name(self) -> str:
        """``(q, r)``, as in the tables."""
        return f"({self.q:g}, {self.r:g})" if self.q or self.r else "never"


CORNERS = {
    "upper left": PatchCue((0, 0, 2, 2)),
    "upper right": PatchCue((0, -2, 2, 2)),
    "lower left": PatchCue((-2, 0, 2, 2)),
    "lower right": PatchCue((-2, -2, 2, 2)),
}
"""A 2×2 white patch in each corner."""

PATCH = tuple(Experiment(q, r) for q, r in ((0, 0), (0.1, 0.1), (0.5, 0.05), (0.9, 0.01), (1, 0)))
"""From no cue to one that gives the class away."""

LATE = tuple(Experiment(q, 0, first_epoch=10, with_drift=True) for q in (0, 1))
"""Never, and from epoch 10 on."""

BRIGHTNESS = tuple(
    Experiment(q, r, cue=cue, statistics=STATISTICS)
    for cue in (BrightnessCue(0.25), BrightnessCue(-0.25), BackgroundCue(strokes, 0.25, name="bright_background"))
    for q, r in ((0, 0), (0.5, 0.05), (1, 0))
)
"""Cues that change the image, or all of it but the strokes."""

BINARY = tuple(Experiment(1, 0, suspect=suspect, is_binary=True) for suspect in (0, 1))
"""Two classes, each the suspect once."""
