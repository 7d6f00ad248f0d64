"""Copies: pixels that are nearly the same in many images of one class, and almost nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Candidate, Count, Trial
from saliency_callbacks.discovery.images.matching import Matcher
from saliency_callbacks.discovery.images.transplants import pasted
from saliency_callbacks.discovery.images.windows import (
    Windows,
    fine_detail,
    likely_windows,
    merged,
    neighbors,
    promise,
    sensitivity,
)
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.shares import share, skew_of
from saliency_callbacks.errors import GradientError
from saliency_callbacks.functional.images.templates import Matches, best_distances, least_distances

__all__ = ["Copies", "Tolerance"]

_N_SEARCHED = 32
"""Images of a class that windows are taken from."""

_N_FIRST_LOOK = 12
_OF_CONTRAST = 0.5
"""How much changed copies may differ, as a share of the standard deviation of a window's values."""

_OF_DETAIL = 0.7
"""How much coarse copies may differ, as a share of the standard deviation of a window's fine detail: what is smooth is
alike in all objects of a class."""

_BLACK = 0.05
"""Levels this close to black or white are even wherever an image is cropped, or over- or underexposed."""

_COMMON = 0.5
"""What this share of other images have is no cue, however often the class has it."""

_FEWEST_COPIES = 3
_MOST_A_CLASS = 4
_LEAST_SKEW = 0.2
_LEAST_PLATEAU = 0.7
_SAME_BEARERS = 0.5
_N_REFINEMENTS = 2


@dataclass(frozen=True)
class Tolerance:
    """How much two copies may differ.

    Args:
        near: Root of the mean squared difference below which a window is a copy, for images in [0, 1].
        far: The same below which a window of another class counts as one, and up to which there should be few.
    """

    near: float
    far: float


_EVEN = Tolerance(0.01, 0.03)
"""Exact copies of one color: much else may be of nearly the same, if it is a dull one."""

_EXACT = Tolerance(0.03, 0.09)
_CHANGED = Tolerance(0.06, 0.15)
_TOLERANCES = (_EVEN, _EXACT, _CHANGED, Tolerance(0.09, 0.15), Tolerance(0.105, 0.15), Tolerance(0.12, 0.2))
"""Exact copies; those that noise or another brightness was added to; those that were compressed, or turned a little."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Proposes windows of which a class holds many copies, by the samples that propose."""

    kind: str = "copies"

    def propose(self, samples: Samples, reader: ModelReader) -> tuple[Sequence[Candidate], int]:
        """Return candidates, and how many there are, as each is tested on other samples than those that chose it."""
        matcher = Matcher(samples.inputs)
        proposing = samples.proposes.nonzero()[:, 0]
        images = matcher.reduced[proposing]
        gradients = _gradients(samples, proposing, reader)
        looked_at = Matcher(sensitivity(gradients, samples.inputs[proposing].float())[:, None]).reduced[:, 0]
        promising = promise(images, looked_at)
        generator = samples.generator("windows")
        candidates: list[Candidate] = []
        for index in samples.classes:
            members = (samples.labels[proposing] == index).nonzero()[:, 0]
            if len(members) < _FEWEST_COPIES:
                continue
            labels = samples.labels[proposing]
            searched = likely_windows(promising, members[:_N_SEARCHED], generator)
            ranked = [one for windows in searched for one in _copied(windows, images, members, labels, index)]
            for one in _best_distinct(_refined(ranked, images, members, labels, index)):
                window = replace(one.window, image=proposing[one.window.image])
                candidates.append(Copied(index, matcher, window, one.tolerance))
        return candidates, len(candidates)


def _gradients(samples: Samples, positions: Tensor, reader: ModelReader) -> Tensor:
    try:
        return reader.gradients(samples.inputs[positions], samples.labels[positions])
    except GradientError as error:
        raise GradientError(
            "copies are searched for where the model looks, but its scores have no gradient with respect to the "
            "images; expected a model that records gradients from its inputs on. Or search only for the kinds that "
            "need no gradient, kinds=('places', 'properties')"
        ) from error


@dataclass(frozen=True, eq=False)
class _Ranked:
    window: Windows
    tolerance: Tolerance
    skew: float
    bearers: Tensor


def _copied(
    windows: Windows,
    images: Tensor,
    members: Tensor,
    labels: Tensor,
    index: int,
    tolerances: Sequence[Tolerance] = _TOLERANCES,
) -> Iterator[_Ranked]:
    """Yield the windows that have copies in their class, with what is known of other classes."""
    templates = windows.pixels(images)
    others = (labels != index).nonzero()[:, 0]
    # Most windows have no copy anywhere, or are even and everywhere: a look at a few images leaves few windows.
    telling = _telling(templates, tolerances)
    is_even = telling[tolerances.index(_EVEN)]
    widest = (telling * torch.tensor([tolerance.near for tolerance in tolerances])[:, None]).amax(dim=0)
    few = members[:_N_FIRST_LOOK]
    may_be = (least_distances(images[few], templates) < widest[:, None]) & (windows.image[:, None] != few)
    rows = may_be.any(dim=1).nonzero()[:, 0]
    first = best_distances(images[few], templates[rows])
    is_copied = (first < widest[rows, None]) & (windows.image[rows, None] != few)
    rows = rows[is_copied.any(dim=1)]
    own = best_distances(images[members], templates[rows])
    # What is not skewed even if no other image has it need not be looked for in them.
    near = own < torch.tensor([tolerance.near for tolerance in tolerances])[:, None, None]
    is_copied = (near.sum(dim=2) >= _FEWEST_COPIES) & (near.double().mean(dim=2) >= _LEAST_SKEW) & telling[:, rows]
    hopeful = is_copied.any(dim=0)
    rows, own = rows[hopeful], own[hopeful]
    other_few = others[:: max(1, len(others) // (2 * _N_FIRST_LOOK))]
    far = torch.where(is_even[rows], _EVEN.far, _EXACT.far)
    everywhere = best_distances(images[other_few], templates[rows]) < far[:, None]
    is_rare = everywhere.double().mean(dim=1) < _COMMON
    kept, own = rows[is_rare], own[is_rare]
    if not len(kept):
        return
    distances = best_distances(images[others], templates[kept])
    for tolerance, tells in zip(tolerances, telling[:, kept], strict=True):
        near = own < tolerance.near
        skew = near.double().mean(dim=1) - _largest_share(distances < tolerance.far, labels[others])
        is_copied = (near.sum(dim=1) >= _FEWEST_COPIES) & tells
        for row in (is_copied & (skew >= _LEAST_SKEW)).nonzero()[:, 0].tolist():
            at = kept[row]
            window = Windows(windows.image[at, None], windows.top[at, None], windows.left[at, None], windows.side)
            yield _Ranked(window, tolerance, float(skew[row]), near[row])


def _refined(
    ranked: Sequence[_Ranked], images: Tensor, members: Tensor, labels: Tensor, index: int
) -> Sequence[_Ranked]:
    """Return the same, and what has exact copies around the best of them.

    Copies are exact in windows that lie wholly within a cue, which may be beside those that were looked at.
    """
    tried: list[Windows] = []
    for _ in range(_N_REFINEMENTS):
        best = [one.window for one in _best_distinct(ranked) if one.window not in tried]
        tried += best
        for windows in merged(around for window in best for around in neighbors(window, images.shape[2:])):
            ranked = [*ranked, *_copied(windows, images, members, labels, index, (_EVEN, _EXACT))]
    return ranked


def _telling(templates: Tensor, tolerances: Sequence[Tolerance]) -> Tensor:
    """Return for which windows each tolerance says something, bool ``[tolerances, T]``.

    Pale windows are all alike, and smooth ones nearly, so that only exact copies tell; and those of
    which every channel is at an end of its range are even where an image ends, or is over- or underexposed.
    """
    level = templates.mean(dim=(2, 3))
    is_exposed = ((level > _BLACK) & (level < 1 - _BLACK)).any(dim=1)
    is_even = templates.flatten(2).std(dim=2, correction=0).amax(dim=1) < _EVEN.near
    has_contrast = _OF_CONTRAST * templates.flatten(1).std(dim=1) >= _CHANGED.near
    detail = _OF_DETAIL * fine_detail(templates).flatten(1).mean(dim=1).sqrt()
    telling = {_EVEN: is_even & is_exposed, _EXACT: torch.ones_like(is_even), _CHANGED: has_contrast}
    return torch.stack([telling.get(one, one.near <= detail) for one in tolerances])


def _largest_share(bears: Tensor, labels: Tensor) -> Tensor:
    """Return the largest share of any class, ``[T]`` of ``[T, N]``."""
    shares = [bears[:, labels == other].double().mean(dim=1) for other in labels.unique().tolist()]
    return torch.stack(shares).amax(dim=0) if shares else bears.new_zeros(len(bears), dtype=torch.double)


def _best_distinct(ranked: Sequence[_Ranked]) -> list[_Ranked]:
    """Return the windows that are copied most, most exactly, and rarest elsewhere; of each set of bearers one."""
    kept: list[_Ranked] = []
    for one in sorted(ranked, key=lambda one: (one.tolerance.near - one.skew, -one.window.side)):
        if len(kept) == _MOST_A_CLASS:
            break
        if not any(_overlap(one.bearers, other.bearers) > _SAME_BEARERS for other in kept):
            kept.append(one)
    return kept


def _overlap(one: Tensor, other: Tensor) -> float:
    fewer = min(int(one.sum()), int(other.sum()))
    return int((one & other).sum()) / fewer if fewer else 0.0


@dataclass(frozen=True, eq=False)
class Copied:
    """A window of which a class holds copies.

    Args:
        class_index: The class c.
        matcher: All images.
        window: The window, in reduced images.
        tolerance: How much copies may differ.
    """

    class_index: int
    matcher: Matcher
    window: Windows
    tolerance: Tolerance

    @property
    def side(self) -> int:
        """Height and width of the window in pixels."""
        return self.window.side * self.matcher.factor

    @property
    def near(self) -> float:
        """How much copies may differ."""
        return self.tolerance.near

    def matches(self, positions: Tensor) -> Matches:
        """Return where the window fits images best, ``[1, M]``."""
        coarse = self.matcher.coarse(self.window.pixels(self.matcher.reduced), positions)
        factor = self.matcher.factor
        if factor == 1:
            return coarse
        full = Windows(
            self.window.image, self.window.top * factor, self.window.left * factor, self.window.side * factor
        )
        return self.matcher.full(full.pixels(self.matcher.images)[0].float(), positions, coarse)

    def count(self, samples: Samples) -> Count | None:
        """Count the images that hold a copy; ``None`` where other classes do as well, or copies fade into likenesses.

        The share of a class at a distance ε is compared with that of the others at 3 ε. Copies are exact or far, so
        that the share hardly grows from ε to 3 ε; parts of objects fade.
        """
        distance = self.matches(torch.arange(samples.size)).distance[0]
        near, far = distance < self.tolerance.near, distance < self.tolerance.far
        own = samples.of_class(self.class_index, samples.counts)
        skew, p_value = skew_of(near, far, samples, self.class_index)
        if skew < _LEAST_SKEW or share(near, own) < _LEAST_PLATEAU * share(far, own):
            return None
        return Count(near, -distance, p_value, doubtful=far)

    def trial(self, samples: Samples, count: Count) -> Trial | None:
        """Paste the pixels of bearers into images of other classes."""
        return pasted(self, samples, count)

    @property
    def what(self) -> str:
        """The candidate in plain words."""
        return "the same pixels"
