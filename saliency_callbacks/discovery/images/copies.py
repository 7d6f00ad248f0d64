"""Copies: pixels that are nearly the same in many images of one class, and almost nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Candidate, Count, Trial
from saliency_callbacks.discovery.images.matching import Matcher
from saliency_callbacks.discovery.images.transplants import pasted
from saliency_callbacks.discovery.images.windows import Windows, likely_windows, sensitivity
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.shares import share, skew_of
from saliency_callbacks.errors import GradientError
from saliency_callbacks.functional.images.templates import Matches, best_matches, least_distances

__all__ = ["Copies", "Tolerance"]

_N_SEARCHED = 32
"""Images of a class that windows are taken from."""

_N_FIRST_LOOK = 12
_OF_CONTRAST = 0.5
"""How much copies may differ, as a share of the standard deviation of a window's values; exact ones may be even."""

_COMMON = 0.5
"""What this share of other images have is no cue, however often the class has it."""

_FEWEST_COPIES = 3
_MOST_A_CLASS = 4
_LEAST_SKEW = 0.2
_LEAST_PLATEAU = 0.7
_SAME_BEARERS = 0.5


@dataclass(frozen=True)
class Tolerance:
    """How much two copies may differ.

    Args:
        near: Root of the mean squared difference below which a window is a copy, for images in [0, 1].
        far: The same below which a window of another class counts as one, and up to which there should be few.
    """

    near: float
    far: float


_TOLERANCES = (Tolerance(0.03, 0.09), Tolerance(0.06, 0.15), Tolerance(0.09, 0.15), Tolerance(0.12, 0.2))
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
        generator = samples.generator("windows")
        candidates: list[Candidate] = []
        for index in samples.classes:
            members = (samples.labels[proposing] == index).nonzero()[:, 0]
            if len(members) < _FEWEST_COPIES:
                continue
            ranked = [
                one
                for windows in likely_windows(images, looked_at, members[:_N_SEARCHED], generator)
                for one in _copied(windows, images, members, samples.labels[proposing], index)
            ]
            for one in _best_distinct(ranked):
                window = Windows(proposing[one.image][None], one.top[None], one.left[None], one.side)
                candidates.append(Copied(index, matcher, window, one.tolerance))
        return candidates, len(candidates)


def _gradients(samples: Samples, positions: Tensor, reader: ModelReader) -> Tensor:
    try:
        return reader.gradients(samples.inputs[positions], samples.labels[positions])
    except GradientError as error:
        raise GradientError(
            "copies are looked for where the model looks, and its scores have no gradient with respect to the images; "
            "expected a model that records gradients from its inputs on. Or search for the kinds that ask for none, "
            "kinds=('places', 'properties')"
        ) from error


@dataclass(frozen=True, eq=False)
class _Ranked:
    image: Tensor
    top: Tensor
    left: Tensor
    side: int
    tolerance: Tolerance
    skew: float
    bearers: Tensor


def _copied(windows: Windows, images: Tensor, members: Tensor, labels: Tensor, index: int) -> Iterator[_Ranked]:
    """Yield the windows that have copies in their class, with what is known of other classes."""
    templates = windows.pixels(images)
    contrast = templates.flatten(1).std(dim=1)
    others = (labels != index).nonzero()[:, 0]
    # Most windows have no copy anywhere, or are even and everywhere: a look at a few images leaves few windows.
    widest = torch.stack([_allowed(tolerance, contrast) * tolerance.near for tolerance in _TOLERANCES]).amax(dim=0)
    few = members[:_N_FIRST_LOOK]
    may_be = (least_distances(images[few], templates) < widest[:, None]) & (windows.image[:, None] != few)
    rows = may_be.any(dim=1).nonzero()[:, 0]
    first = best_matches(images[few], templates[rows]).distance
    is_copied = (first < widest[rows, None]) & (windows.image[rows, None] != few)
    rows = rows[is_copied.any(dim=1)]
    other_few = others[:: max(1, len(others) // (2 * _N_FIRST_LOOK))]
    everywhere = best_matches(images[other_few], templates[rows]).distance < _TOLERANCES[0].far
    rows = rows[everywhere.double().mean(dim=1) < _COMMON]
    own = best_matches(images[members], templates[rows]).distance
    enough = (own < widest[rows, None]).sum(dim=1) >= _FEWEST_COPIES
    kept, own = rows[enough], own[enough]
    if not len(kept):
        return
    distances = best_matches(images[others], templates[kept]).distance
    for tolerance in _TOLERANCES:
        near = own < tolerance.near
        skew = near.double().mean(dim=1) - _largest_share(distances < tolerance.far, labels[others])
        is_copied = (near.sum(dim=1) >= _FEWEST_COPIES) & _allowed(tolerance, contrast[kept])
        for row in (is_copied & (skew >= _LEAST_SKEW)).nonzero()[:, 0].tolist():
            at = kept[row]
            window = windows.image[at], windows.top[at], windows.left[at], windows.side
            yield _Ranked(*window, tolerance, float(skew[row]), near[row])


def _allowed(tolerance: Tolerance, contrast: Tensor) -> Tensor:
    """Return for which windows a tolerance says something, by their contrast: pale ones are all alike."""
    return (tolerance.near <= _OF_CONTRAST * contrast) | (tolerance.near == _TOLERANCES[0].near)


def _largest_share(bears: Tensor, labels: Tensor) -> Tensor:
    """Return the largest share of any class, ``[T]`` of ``[T, N]``."""
    shares = [bears[:, labels == other].double().mean(dim=1) for other in labels.unique().tolist()]
    return torch.stack(shares).amax(dim=0) if shares else bears.new_zeros(len(bears), dtype=torch.double)


def _best_distinct(ranked: Sequence[_Ranked]) -> list[_Ranked]:
    """Return the windows that are copied most, most exactly, and rarest elsewhere; of each set of bearers one."""
    kept: list[_Ranked] = []
    for one in sorted(ranked, key=lambda window: (window.tolerance.near - window.skew, -window.side)):
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
