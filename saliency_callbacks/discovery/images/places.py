"""Places: what is at the same place in many images of a class without being the same pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from saliency_callbacks.discovery.candidate import Candidate, Count, Trial
from saliency_callbacks.discovery.images.marks import marked
from saliency_callbacks.discovery.images.matching import Matcher
from saliency_callbacks.discovery.images.patterns import FEWEST_OF_A_GROUP, likelihood_scores, linear_scores, sharpened
from saliency_callbacks.discovery.images.standing import Standing, class_means, deviations, standing
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.shares import skew_of
from saliency_callbacks.functional.groups.outliers import least_outlying_gap
from saliency_callbacks.functional.groups.separation import TwoGroups, separation_of_one_group, two_groups
from saliency_callbacks.functional.images.blur import detail_bands

__all__ = ["Places"]

_LEAST_Z = 5.0
_LEAST_GAP = 1.5

_MOST_REST = 0.25
"""How far images of the class without the mark may be from the other classes, as a share of the distance to bearers."""

_LEAST_OF_BOTH = 6.0
"""How large the product of z and the separation is at least: either alone is seen in classes without a mark."""

_LEAST_SKEW = 0.2
_FEWEST_CLASSES = 4
"""From so many on, two clear groups tell a mark, however far the others are apart; of three, two are often alike."""

_FADING = 0.9
_CLEAR = 2.0
"""Least separation of bearers, over that of values in one group: by what is added, and by likeness."""


@dataclass(frozen=True, eq=False)
class Places:
    """Proposes, for each class, what its images have added at a place, or where some of them are all alike.

    What lies behind a mark averages out in the mean image of a class, and the mark remains. Objects remain as well; a
    mark is told from them when it is counted (:meth:`Place.count`).
    """

    kind: str = "places"

    def propose(self, samples: Samples, reader: ModelReader) -> tuple[Sequence[Candidate], int]:
        """Return candidates, and how many there are, as each is tested on other samples than those that chose it."""
        images = Matcher(samples.inputs).reduced
        proposing = samples.proposes
        labels = samples.labels[proposing]
        best: dict[int, tuple[float, Tensor, Tensor]] = {}
        for band in detail_bands(images):
            moments = class_means(band[proposing], labels)
            for index, deviation in zip(samples.classes, deviations(*moments), strict=True):
                scores = linear_scores(band, *deviation)
                if scores is None:
                    continue
                z = standing(scores[proposing], labels, index).z
                if index not in best or z > best[index][0]:
                    best[index] = z, scores, band
        usual = images[proposing].var(dim=0)
        places = [_place(index, scores, band, images, usual, samples) for index, (_, scores, band) in best.items()]
        return places, len(places)


def _place(index: int, scores: Tensor, band: Tensor, images: Tensor, usual: Tensor, samples: Samples) -> Place:
    """Return what sets some of a class apart: their likeness where that is clear, else what is added to them.

    Args:
        index: The class.
        scores: How much each image has of what sets the class apart, ``[N]``.
        band: The detail in which it does, ``[N, C, H, W]``.
        images: ``[N, C, H, W]``.
        usual: Variance of those that propose, ``[C, H, W]``.
        samples: What is searched.
    """
    # Those that propose were fitted, so that they are further apart than those that count will be.
    ratios = likelihood_scores(scores, images, usual, samples, index, 2 * _CLEAR)
    if ratios is not None:
        return Place(index, ratios, _CLEAR)
    return Place(index, sharpened(scores, band, samples, index), _FADING)


@dataclass(frozen=True, eq=False)
class Place:
    """A pattern at a fixed place of which class c has more than the others.

    Args:
        class_index: The class c.
        scores: How much of the pattern each has, ``[N]``.
        least_separation: How far apart its bearers and the rest of the class are at least, over what the scores of one
            group have by chance.
    """

    class_index: int
    scores: Tensor
    least_separation: float

    def count(self, samples: Samples) -> Count | None:
        """Count the images that have the pattern; ``None`` where the class has it as objects differ.

        A mark makes a class stand further apart than the others do from each other, and beyond all of them. Some of its
        images bear it, and those that do not are like the others; an object is in all of them, more or less.
        """
        counted = samples.counts
        own = samples.of_class(self.class_index, counted)
        if len(own) < 2 * FEWEST_OF_A_GROUP:
            return None
        found = standing(self.scores[counted], samples.labels[counted], self.class_index)
        groups = two_groups(self.scores[own], FEWEST_OF_A_GROUP)
        separation = groups.separation / separation_of_one_group(len(own))
        if separation < self.least_separation or not _is_set_apart(found, groups, separation, len(samples.classes)):
            return None
        bears = self.scores > groups.middle
        skew, p_value = skew_of(bears, bears, samples, self.class_index)
        return Count(bears, self.scores, p_value) if skew >= _LEAST_SKEW else None

    def trial(self, samples: Samples, count: Count) -> Trial | None:
        """Put the mark into images of other classes."""
        return marked(self.class_index, samples, count)

    @property
    def what(self) -> str:
        """The candidate in plain words."""
        return "a mark at the same position"


def _is_set_apart(found: Standing, groups: TwoGroups, separation: float, n_classes: int) -> bool:
    """Tell whether a class stands apart from the others, by some of its images alone.

    Args:
        found: Where the class is among the classes.
        groups: What its images fall into.
        separation: How far these are apart, over what one group has by chance.
        n_classes: How many classes there are; the fewer, the further apart they are by chance, which two clear groups
            are not.
    """
    are_few = n_classes < _FEWEST_CLASSES
    is_told = separation >= _CLEAR and not are_few
    least_gap = 0.0 if is_told else least_outlying_gap(n_classes, 0.01 if are_few else 0.05)
    rest = abs(groups.lower - found.usual)
    return (
        math.isfinite(least_gap)
        and found.gap >= max(_LEAST_GAP, least_gap)
        and found.z >= _LEAST_Z
        and found.z * separation >= _LEAST_OF_BOTH
        and rest <= _MOST_REST * (groups.upper - found.usual)
    )
