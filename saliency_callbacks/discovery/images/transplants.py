"""Putting copied pixels into images of other classes, and controls of the same shape."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Count, Trial
from saliency_callbacks.discovery.changes import PastedPixels
from saliency_callbacks.discovery.images.regions import grow
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.functional.images.templates import Matches

__all__ = ["Located", "cut_out", "filled", "pasted", "recipients"]

_N_RECIPIENTS = 48
_N_ALIGNED = 32
_N_OTHERS = 64
_REACH = 2
"""How far the pixels of a cue may differ, times the distance of two copies."""


class Located(Protocol):
    """What can be found in images: a window."""

    @property
    def class_index(self) -> int:
        """The class c."""

    @property
    def side(self) -> int:
        """Height and width of the window in pixels."""

    @property
    def near(self) -> float:
        """How much copies may differ."""

    def matches(self, positions: Tensor) -> Matches:
        """Return where it fits images best, ``[1, M]``."""


def recipients(class_index: int, samples: Samples, count: Count) -> Tensor:
    """Return the positions of some samples of other classes that do not bear a candidate, equally of all classes."""
    lacking = (samples.labels != class_index) & count.lacks
    order = torch.randperm(samples.size, generator=samples.generator("recipients"))
    rows = order[lacking[order]]
    labels = samples.labels[rows]
    turn = torch.zeros(len(rows), dtype=torch.int64)
    for index in labels.unique().tolist():
        members = labels == index
        turn[members] = torch.arange(int(members.sum()))
    return rows[turn.argsort(stable=True)[:_N_RECIPIENTS]]


def pasted(located: Located, samples: Samples, count: Count) -> Trial | None:
    """Paste the grown pixels of bearers into images of other classes.

    Controls fill the same pixels from images of the class without the cue, and from other classes.

    Args:
        located: The window.
        samples: What is searched.
        count: Who bears it.
    """
    index = located.class_index
    members = samples.of_class(index, count.bears)
    bearers = members[count.typical[members].argsort(descending=True, stable=True)][:_N_ALIGNED]
    into = recipients(index, samples, count)
    lacking = samples.chosen(samples.of_class(index, count.lacks), len(into), "class without")
    others = samples.chosen((samples.labels != index).nonzero()[:, 0], _N_OTHERS, "others")
    if not len(bearers) or len(into) < 2:
        return None
    images = samples.inputs
    found = located.matches(bearers)
    top, left = found.top[0], found.left[0]
    region = grow(
        images[bearers].float(),
        top,
        left,
        images[others].float(),
        (located.side, located.side),
        _REACH * located.near,
    )
    marks = torch.stack([region.at(int(row), int(column)) for row, column in zip(top, left, strict=True)])
    into_marks = marks[torch.arange(len(into)) % len(bearers)]
    # Another recipient's pixels: never its own, which would change nothing.
    controls = [filled(samples, into, into.roll(1), into_marks)]
    controls += [filled(samples, into, lacking, into_marks)] if len(lacking) else []
    first = marks[0]
    return Trial(
        recipients=into,
        with_cue=filled(samples, into, bearers, into_marks),
        controls=controls,
        statistic="effect",
        change=cut_out(images[bearers[0]].float(), first),
        region=first,
        bearers=bearers,
        marks=marks,
    )


def filled(samples: Samples, into: Tensor, source: Tensor, marks: Tensor) -> Tensor:
    """Return images with the marked pixels of others, in turn.

    Args:
        samples: What is searched.
        into: Positions of the images that are filled, ``int64 [R]``.
        source: Positions of those whose pixels are put there.
        marks: Which pixels, bool ``[R, H, W]``.
    """
    rows = source[torch.arange(len(into)) % len(source)]
    return torch.where(marks[:, None], samples.inputs[rows].float(), samples.inputs[into].float())


def cut_out(image: Tensor, mask: Tensor) -> PastedPixels:
    """Return the marked pixels of an image ``[C, H, W]``, to be pasted where they are."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    return PastedPixels(image[:, top:bottom, left:right].clone(), mask[top:bottom, left:right].clone(), top, left)
