"""Properties: what covers the whole image and differs by class, such as brightness, a tint, blur or compression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Candidate, Count, Trial
from saliency_callbacks.discovery.changes import AddedNoise, Change, OtherSize, ShiftedProperty
from saliency_callbacks.discovery.images.standing import Standing, class_z, normal_scores, standing
from saliency_callbacks.discovery.images.transplants import recipients
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.shares import share
from saliency_callbacks.errors import warn
from saliency_callbacks.functional.groups.outliers import least_outlying_gap
from saliency_callbacks.functional.groups.skew import rank_sum_p_value
from saliency_callbacks.functional.images.properties import PROPERTIES
from saliency_callbacks.functional.images.spectrum import noise_like

__all__ = ["Properties"]

_SIGNIFICANCE = 0.01
_FEWEST_CLASSES = 4
"""Of three classes, two are often alike by chance, and the third an outlier beside them."""

_LEAST_Z_TO_PROPOSE = 1.2
_LEAST_Z = 2.4
_LEAST_Z_NEARLY_EVERYWHERE = 1.9
_LEAST_GAP = 0.8
_MUCH = 0.75
_FEWEST_OF_A_KIND = 8
_MOST_OF_A_KIND = 128
"""Images that the spectrum of noise is taken of."""


_OF_SIZES = ("size", "aspect")
_TINTS = ("red", "green", "blue")
_TINT = "tint"
"""Three channels that depend on each other: of one class, one of them is proposed."""

_WORDS = {
    ("noise", -1): "less sharpness",
    ("shadows", 1): "more brightness",
    ("shadows", -1): "less brightness",
    ("border", 1): "a brighter border",
    ("border", -1): "a darker border",
    ("size", 1): "larger files",
    ("size", -1): "smaller files",
    ("aspect", 1): "a wider format",
    ("aspect", -1): "a narrower format",
}
"""What people say: what lacks the finest detail is blurred, not free of noise."""

_CHUNK = 128


@dataclass(frozen=True, eq=False)
class Properties:
    """Proposes properties in which a class differs from the others nearly everywhere in its images.

    An object changes the properties of the pixels that it covers, and so those of the image; what was done to the whole
    image is seen in nearly all of its cells.
    """

    kind: str = "properties"

    def propose(self, samples: Samples, reader: ModelReader) -> tuple[Sequence[Candidate], int]:
        """Return candidates, and how many there are, as each is tested on other samples than those that chose it."""
        proposing = samples.proposes
        labels = samples.labels[proposing]
        found = measured(samples.inputs, samples.sizes)
        best: dict[tuple[int, str], tuple[float, Property]] = {}
        for name, values in found.items():
            z = class_z(normal_scores(values[proposing]), labels).median(dim=1).values.tolist()
            for index, usual in zip(samples.classes, z, strict=True):
                candidate = Property(index, name, 1 if usual > 0 else -1, found)
                key = index, _TINT if name in _TINTS else name
                if abs(usual) > max(_LEAST_Z_TO_PROPOSE, best.get(key, (0.0, candidate))[0]):
                    best[key] = abs(usual), candidate
        return [candidate for _, candidate in best.values()], len(best)


def _tell_of_few_classes(n_classes: int) -> None:
    warn(
        "few classes",
        f"with only {n_classes} classes, one class may naturally differ from the others as much as one does here, so "
        "properties are listed but not reported as used. Natural differences are estimated from how much the other "
        "classes differ among themselves, which takes more classes. Look at the pictures, and watch a difference that "
        "is not natural with a CueAlarm on suspicion.to_cue()",
    )


def measured(images: Tensor, sizes: Tensor | None = None) -> dict[str, Tensor]:
    """Return each property of images ``[N, C, H, W]`` in the cells of a grid, ``[N, cells]``.

    Args:
        images: Display images.
        sizes: Height and width of each as it was stored, ``[N, 2]``; their logarithms make two properties more.
    """
    found: dict[str, list[Tensor]] = {name: [] for name, one in PROPERTIES.items() if one.fits(images.shape[1])}
    for part in images.split(_CHUNK):
        for name, values in found.items():
            values.append(PROPERTIES[name].measure(part.float()).flatten(1))
    whole = {name: torch.cat(values) for name, values in found.items()}
    if sizes is not None:
        height, width = sizes.double().log().unbind(dim=1)
        whole |= {"size": (height + width)[:, None], "aspect": (width - height)[:, None]}
    return whole


@dataclass(frozen=True, eq=False)
class Property:
    """A property of which class c has more, or less, than the others.

    Args:
        class_index: The class c.
        name: Which one.
        sign: 1 for more, -1 for less.
        measured: What each image has of each property in each cell, ``[N, cells]``.
    """

    class_index: int
    name: str
    sign: int
    measured: Mapping[str, Tensor]

    @property
    def values(self) -> Tensor:
        """What each image has of the property in each cell, ``[N, cells]``."""
        return self.measured[self.name]

    def count(self, samples: Samples) -> Count | None:
        """Count the images that have most of it; ``None`` where the class does not differ nearly everywhere.

        The lower quartile and the median of the cells count, in the ranks of their values.
        """
        counted = samples.counts
        labels = samples.labels[counted]
        ranks = self.sign * normal_scores(self.values[counted])
        z = class_z(ranks, labels)[samples.classes.index(self.class_index)]
        if float(z.median()) < _LEAST_Z or float(z.quantile(0.25)) < _LEAST_Z_NEARLY_EVERYWHERE:
            return None
        if self._standing(samples).gap < _LEAST_GAP:
            return None
        scores = self.sign * self.values.mean(dim=1)
        own = samples.of_class(self.class_index, counted)
        others = [samples.of_class(other, counted) for other in samples.classes if other != self.class_index]
        # Half way from what is usual to those of the class that have much of it, as some may have none.
        bears = scores > (scores[torch.cat(others)].median() + scores[own].quantile(_MUCH)) / 2
        if share(bears, own) <= max(share(bears, members) for members in others):
            return None
        # Against all others: what sets classes apart from each other has been told by the gates above.
        return Count(bears, scores, rank_sum_p_value(scores[own], scores[torch.cat(others)]))

    def trial(self, samples: Samples, count: Count) -> Trial | None:
        """Shift the property of images of other classes by what sets the class apart."""
        into = recipients(self.class_index, samples, count)
        if len(into) < 2:
            return None
        n_classes = len(samples.classes)
        least_gap = least_outlying_gap(n_classes, _SIGNIFICANCE)
        is_conclusive = n_classes >= _FEWEST_CLASSES and self._gap(samples) >= least_gap
        if not is_conclusive:
            _tell_of_few_classes(n_classes)
        name, amount = self._shift(samples)
        images = samples.inputs[into].float()
        shift = OtherSize if name in _OF_SIZES else ShiftedProperty
        noise = self._noise(samples, count) if name == "noise" and amount > 0 else None
        change: Change = shift(name, amount) if noise is None else AddedNoise(noise)
        return Trial(
            recipients=into,
            with_cue=change(images),
            controls=[shift(name, -amount)(images)],
            statistic="contrast",
            is_conclusive=is_conclusive,
            change=change,
            what=_in_words(name, amount),
        )

    def _standing(self, samples: Samples) -> Standing:
        counted = samples.counts
        scores = self.sign * self.values[counted].mean(dim=1)
        return standing(normal_scores(scores[:, None])[:, 0], samples.labels[counted], self.class_index)

    def _gap(self, samples: Samples) -> float:
        """Return how far the class is beyond the next, in ranks or in values, whichever is more."""
        counted = samples.counts
        values = self.sign * self.values[counted].mean(dim=1)
        return max(self._standing(samples).gap, standing(values, samples.labels[counted], self.class_index).gap)

    def _noise(self, samples: Samples, count: Count) -> Tensor | None:
        """Return the noise, or the fine texture, that bearers have and images of other classes do not."""
        bearing = samples.of_class(self.class_index, count.bears)
        others = ((samples.labels != self.class_index) & count.lacks).nonzero()[:, 0]
        if min(len(bearing), len(others)) < _FEWEST_OF_A_KIND:
            return None
        more, less = (samples.inputs[samples.chosen(some, _MOST_OF_A_KIND, "noise")] for some in (bearing, others))
        return noise_like(more, less, samples.generator("phases"))

    def _shift(self, samples: Samples) -> tuple[str, float]:
        """Return what to shift, and how far: by what the upper half of the class has more than that of the others.

        Of the upper halves, as only some of the class may bear it. The three channels of a tint depend on each other,
        and the one that it moves most need not be the one that tells most; it is what people call it.
        """
        names = _TINTS if self.name in _TINTS else (self.name,)
        own = samples.labels == self.class_index
        scores = self.sign * self.values.mean(dim=1)
        halves = [members & (scores >= scores[members].median()) for members in (own, ~own)]
        amounts = {}
        for name in names:
            values = self.measured[name].mean(dim=1)
            amounts[name] = float(values[halves[0]].mean() - values[halves[1]].mean())
        strongest = max(amounts, key=lambda name: abs(amounts[name]))
        return strongest, amounts[strongest]

    @property
    def what(self) -> str:
        """The candidate in plain words."""
        return _in_words(self.name, self.sign)


def _in_words(name: str, amount: float) -> str:
    sign = 1 if amount > 0 else -1
    return _WORDS.get((name, sign), f"{'more' if sign > 0 else 'less'} {name}")
