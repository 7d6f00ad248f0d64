"""Places: what is at the same place in many images of a class without being the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.discovery.candidate import Candidate, Count, Trial
from saliency_callbacks.discovery.changes import AddedDifference
from saliency_callbacks.discovery.images.matching import Matcher
from saliency_callbacks.discovery.images.standing import class_means, deviation, over_places, standing
from saliency_callbacks.discovery.images.transplants import recipients
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.shares import skew_of
from saliency_callbacks.functional.images.blur import detail_bands
from saliency_callbacks.functional.separation import two_groups

__all__ = ["Places"]

_LEAST_Z_OF_A_VALUE = 2.0
_FEWEST_VALUES = 4

_LEAST_Z = 6.0
_LEAST_GAP = 1.2
_LEAST_SEPARATION = 4.0
_MOST_REST = 0.25
_LEAST_SKEW = 0.2
_FEWEST_OF_A_GROUP = 5
_N_SHARPENINGS = 2

_MOST_CONTROLS = 3

_LEAST_Z_OF_A_PIXEL = 4.0
_FEWEST_OF_A_KIND = 8


@dataclass(frozen=True, eq=False)
class Places:
    """Proposes, for each class and band of detail, where its mean image differs from those of the others.

    What lies behind a mark averages out in the mean image of a class, and the mark remains. Objects remain as well; a
    mark is told from them when it is counted (:meth:`Place.count`).
    """

    kind: str = "places"

    def propose(self, samples: Samples, reader: ModelReader) -> tuple[Sequence[Candidate], int]:
        """Return candidates, and how many there are, as each is tested on other samples than those that chose it."""
        matcher = Matcher(samples.inputs)
        proposing = samples.proposes
        labels = samples.labels[proposing]
        best: dict[int, tuple[float, Tensor, Tensor]] = {}
        for band in detail_bands(matcher.reduced):
            moments = class_means(band[proposing], labels)
            for row, index in enumerate(samples.classes):
                scores = _scores(band, *deviation(*moments, row))
                if scores is None:
                    continue
                z = standing(scores[proposing], labels, index).z
                if index not in best or z > best[index][0]:
                    best[index] = z, scores, band
        places = [Place(index, _sharpened(scores, band, samples, index)) for index, (_, scores, band) in best.items()]
        return places, len(places)


def _sharpened(scores: Tensor, band: Tensor, samples: Samples, index: int) -> Tensor:
    """Return scores by what sets bearers apart from the rest of their class.

    The mean of a class holds its objects as well, and little of a mark that half of its images bear; the difference
    between the two groups that the scores of a class fall into holds the mark alone.

    Args:
        scores: How much of a pattern each image has, ``[N]``.
        band: ``[N, C, H, W]``.
        samples: What is searched; only those of the class that propose are looked at.
        index: The class.
    """
    own = samples.of_class(index, samples.proposes)
    if len(own) < 2 * _FEWEST_OF_A_GROUP:
        return scores
    for _ in range(_N_SHARPENINGS):
        bears = scores[own] > two_groups(scores[own], _FEWEST_OF_A_GROUP).middle
        if not bears.any() or bears.all():
            break
        means, variances, counts = class_means(band[own], bears.long())
        difference, within = means[1] - means[0], variances.mean(dim=0)
        error = (within * (1 / counts).sum() + over_places(difference).square()).sqrt()
        sharper = _scores(band, difference, difference / error.clamp(min=1e-4), within)
        if sharper is None:
            break
        scores = sharper
    return scores


def _scores(band: Tensor, difference: Tensor, z: Tensor, within: Tensor) -> Tensor | None:
    """Return how much of a pattern each image has, by the linear discriminant of independent values; ``None`` for none.

    Args:
        band: ``[N, C, H, W]``.
        difference: How one class differs from the others, ``[C, H, W]``.
        z: The same over its error.
        within: Variance within a class.
    """
    stands_out = z.abs() > _LEAST_Z_OF_A_VALUE
    if int(stands_out.sum()) < _FEWEST_VALUES:
        return None
    weights = difference / (within + within.median()).clamp(min=1e-6) * stands_out
    scores: Tensor = (band * weights).flatten(1).sum(dim=1) / weights.norm()
    return scores


@dataclass(frozen=True, eq=False)
class Place:
    """A pattern at a fixed place of which class c has more than the others.

    Args:
        class_index: The class c.
        scores: How much of the pattern each has, ``[N]``.
    """

    class_index: int
    scores: Tensor

    def count(self, samples: Samples) -> Count | None:
        """Count the images that have the pattern; ``None`` where the class has it as objects differ.

        A mark makes a class stand further apart than the others do from each other, and beyond all of them. Some of its
        images bear it, and those that do not are like the others; an object is in all of them, more or less.
        """
        counted = samples.counts
        own = samples.of_class(self.class_index, counted)
        if len(own) < 2 * _FEWEST_OF_A_GROUP:
            return None
        found = standing(self.scores[counted], samples.labels[counted], self.class_index)
        groups = two_groups(self.scores[own], _FEWEST_OF_A_GROUP)
        stands_apart = found.z >= _LEAST_Z and found.gap >= _LEAST_GAP and groups.separation >= _LEAST_SEPARATION
        if not stands_apart or abs(groups.lower - found.usual) > _MOST_REST * (groups.upper - found.usual):
            return None
        bears = self.scores > groups.middle
        skew, p_value = skew_of(bears, bears, samples, self.class_index)
        return Count(bears, self.scores, p_value) if skew >= _LEAST_SKEW else None

    def trial(self, samples: Samples, count: Count) -> Trial | None:
        """Add the mean difference between bearers and others to images of other classes."""
        into = recipients(self.class_index, samples, count)
        bearing = samples.of_class(self.class_index, count.bears)
        lacking = samples.of_class(self.class_index, ~count.bears)
        if len(lacking) < _FEWEST_OF_A_KIND:
            # With the class's own images the object cancels out; where all bear the pattern, it has to be told apart.
            lacking = ((samples.labels != self.class_index) & ~count.bears).nonzero()[:, 0]
        if len(into) < 2 or len(bearing) < _FEWEST_OF_A_KIND or len(lacking) < _FEWEST_OF_A_KIND:
            return None
        difference, region = _difference(samples.inputs, bearing, lacking)
        if not region.any():
            return None
        own = difference * region
        images = samples.inputs[into].float()
        controls = [(images + one).clamp(0, 1) for one in self._controls(samples, count, region)]
        change = AddedDifference(own)
        return Trial(
            recipients=into,
            with_cue=change(images),
            controls=controls,
            statistic="effect",
            change=change,
            region=region,
            marks=region.expand(len(bearing), *region.shape),
        )

    def _controls(self, samples: Samples, count: Count, region: Tensor) -> list[Tensor]:
        """Return what sets other classes apart at the same pixels."""
        usual = samples.inputs[count.lacks].float().mean(dim=0)
        members = [samples.of_class(other, count.lacks) for other in samples.classes if other != self.class_index]
        differences = [(samples.inputs[some].float().mean(dim=0) - usual) * region for some in members if len(some)]
        return sorted(differences, key=lambda one: float(one.norm()), reverse=True)[:_MOST_CONTROLS]

    @property
    def what(self) -> str:
        """The candidate in plain words."""
        return "a mark at the same place"


def _difference(images: Tensor, bearing: Tensor, lacking: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean difference ``[C, H, W]`` between two groups of images, and where it is beyond chance."""
    ours, theirs = images[bearing].float(), images[lacking].float()
    difference = ours.mean(dim=0) - theirs.mean(dim=0)
    error = (ours.var(dim=0) / len(ours) + theirs.var(dim=0) / len(theirs)).sqrt()
    z = (difference - difference.flatten(1).median(dim=1).values[:, None, None]).abs() / error.clamp(min=1e-4)
    stands_out = (z > _LEAST_Z_OF_A_PIXEL).any(dim=0)
    # What lies between two pixels of a mark is part of it.
    near = F.max_pool2d(stands_out[None].float(), 3, stride=1, padding=1)
    closed = -F.max_pool2d(-near, 3, stride=1, padding=1)
    return difference, closed[0].bool()
