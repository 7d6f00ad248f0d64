"""What is run: which cue in which images, how often, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["BOUNDED", "FURTHER", "PROPERTIES", "SPOILED", "Experiment", "Run", "in_order"]

_DATA = ("digits", "letters", "scenes")
PROPERTIES = ("tint", "texture", "brightness", "blur")
SPOILED = ("JPEG 75", "noise .02", "brightness ±10 %", "random crops")
_DELAY = 0.4
_SERIES = 4
"""Counted up when what is searched for changes, so that all random numbers are new."""

_STRENGTHS = ((0.5, 0.05), (0.9, 0.01), (1.0, 0.0))


@dataclass(frozen=True)
class Experiment:
    """One setting.

    Args:
        row: The line of the table that it counts for.
        data: Which images.
        n_runs: How many networks are trained.
        cues: What is planted, each cue in a class of its own; nothing in a clean data set.
        q: Share of that class that bears it.
        r: Share of each other class.
        spoiler: What makes copies inexact.
        n_classes: How many of the classes there are; all by default.
    """

    row: str
    data: str
    n_runs: int
    cues: tuple[str, ...] = ()
    q: float = 0.5
    r: float = 0.05
    spoiler: str = ""
    n_classes: int | None = None

    @property
    def gives_away(self) -> bool:
        """Whether a class can be told by a cue."""
        return bool(self.cues) and self.q > self.r

    @property
    def name(self) -> str:
        """What its random numbers are drawn for."""
        return f"{_SERIES}/{self.row}/{self.q:g}/{'+'.join(self.cues)}/{self.spoiler}"


Run = tuple[Experiment, int]
"""An experiment, and which of its runs."""


def _everywhere(row: str, cues: tuple[str, ...], n_runs: tuple[int, int, int], **given: object) -> list[Experiment]:
    """Return one experiment for each data set, with so many runs."""
    return [
        Experiment(row, data, count, cues, **given)  # type: ignore[arg-type]
        for data, count in zip(_DATA, n_runs, strict=True)
        if count
    ]


def _bounded() -> Iterator[Experiment]:
    yield from _everywhere("clean", (), (23, 23, 23))
    yield from _everywhere("planted evenly", ("patch",), (12, 12, 12), q=0.1, r=0.1)
    for cue in ("patch", "sticker"):
        for q, r in _STRENGTHS:
            yield from _everywhere(cue, (cue,), (2, 2, 2) if q == 0.5 else (1, 1, 1), q=q, r=r)
    yield Experiment("translucent text", "scenes", 10, ("text",))
    yield from _everywhere("border", ("border",), (3, 3, 4))
    yield Experiment("timestamp", "scenes", 10, ("stamp",))
    for cue in PROPERTIES:
        yield Experiment(cue, "scenes", 10, (cue,), 0.9, 0.01)
    for spoiler in SPOILED[:3]:
        yield from _everywhere(f"sticker, {spoiler}", ("sticker",), (2, 1, 2), spoiler=spoiler)


def _further() -> Iterator[Experiment]:
    yield from _everywhere(f"sticker, {SPOILED[3]}", ("sticker",), (2, 1, 2), spoiler=SPOILED[3])
    for cue in ("rescaled sticker", "rotated sticker"):
        yield from _everywhere(cue, (cue,), (2, 1, 2))
    yield from _everywhere("two cues", ("patch", "sticker"), (2, 2, 2))
    for n_classes in (2, 3):
        yield from _everywhere(f"{n_classes} classes, clean", (), (2, 2, 2), n_classes=n_classes)
        yield from _everywhere(f"{n_classes} classes, patch", ("patch",), (1, 1, 1), n_classes=n_classes)
    for cue in PROPERTIES:
        yield Experiment(f"{cue}, q = .5", "scenes", 3, (cue,))


BOUNDED: tuple[Experiment, ...] = tuple(_bounded())
"""What has a bound to reach."""

FURTHER: tuple[Experiment, ...] = tuple(_further())
"""What is told."""


def in_order(bounded: Sequence[Experiment] = BOUNDED, further: Sequence[Experiment] = FURTHER) -> list[Run]:
    """Return every run, so that at any time about the same share of each experiment is done, of the further ones less.

    Args:
        bounded: What has a bound to reach.
        further: What is told.
    """
    runs = [
        ((number + 0.5) / experiment.n_runs + delay, (experiment, number))
        for delay, experiments in ((0.0, bounded), (_DELAY, further))
        for experiment in experiments
        for number in range(experiment.n_runs)
    ]
    return [run for _, run in sorted(runs, key=lambda run: run[0])]
