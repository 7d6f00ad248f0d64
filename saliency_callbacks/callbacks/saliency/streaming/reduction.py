"""From the maps of a few samples to what is kept of them; the maps themselves are given up at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from saliency_callbacks.callbacks.runtime.appearance import Appearance, SampleNames
from saliency_callbacks.callbacks.saliency.inputs import further_images
from saliency_callbacks.callbacks.saliency.localizing import localized
from saliency_callbacks.callbacks.saliency.scoring import SampleScores, mean_scores, sample_scores
from saliency_callbacks.callbacks.saliency.streaming.explain import Explained
from saliency_callbacks.callbacks.saliency.streaming.means import ALL, MAX_CLASSES, MapMeans, Means, kept_size
from saliency_callbacks.callbacks.saliency.streaming.mistakes import SurestMistakes
from saliency_callbacks.callbacks.streaming.columns import Columns
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.localization.settings import Localization
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types import Outlines, ProbeStatistics

__all__ = ["Reduction"]

_SCORE = "score/"


@dataclass(eq=False)
class Reduction:
    """What is kept of the samples so far: numbers of each, means of each class, and a few mistakes.

    Args:
        shown: The samples that are shown.
        n_samples: Number of all samples; fewer where some cannot be read.
        settings: How samples are explained.
        appearance: How maps are drawn.
        namespace: First part of every tag.
        localization: How masks are found in maps, where they are.
    """

    shown: ProbeBatch
    n_samples: int
    settings: Settings
    appearance: Appearance
    namespace: str
    localization: Localization | None = None
    _groups: list[str] = field(default_factory=list, init=False)
    _columns: Columns = field(init=False)
    _of_regions: frozenset[str] = field(default=frozenset(), init=False)
    _classes: set[int] = field(default_factory=set, init=False)
    _maps: dict[str, MapMeans] = field(default_factory=dict, init=False)
    _inputs: Means = field(default_factory=Means, init=False)
    _mistakes: SurestMistakes = field(init=False)

    def __post_init__(self) -> None:
        self._columns = Columns(self.n_samples)
        self._mistakes = SurestMistakes(self.appearance)

    def add(self, part: Explained) -> None:
        """Add some samples."""
        probe, predictions = part.probe, part.predictions
        scores = sample_scores(part.attributions, probe.masks, predictions, self.namespace, {}, self._localized(part))
        columns = {
            "positions": torch.tensor(probe.indices),
            "labels": probe.labels,
            "predictions": predictions.classes,
            "confidences": predictions.confidences,
            "target": next(iter(part.attributions.values())).target,
            **{_SCORE + tag: values.float() for tag, values in scores.values.items()},
        }
        self._columns.add(probe.size, columns)
        self._of_regions |= scores.of_regions
        self._groups += probe.groups or ()
        self._add_means(part)

    def _localized(self, part: Explained) -> Mapping[str, Outlines]:
        if part.localized is not None or part.probe.masks is None:
            return part.localized or {}
        inputs = self.settings.read_alone(part.probe.inputs).explained
        return localized(part.attributions, inputs, self.shown, self.appearance, self.localization)

    def _add_means(self, part: Explained) -> None:
        labels = part.probe.labels
        self._classes.update(() if labels is None else labels.tolist())
        if self.settings.tokens is not None:
            # The words of two texts have no places in common.
            return
        told_apart = labels if len(self._classes) <= MAX_CLASSES else None
        if not self._maps:
            self._maps = {name: MapMeans() for name in part.attributions}
        # A method of another library may have failed for some samples, and then has no mean of all.
        self._maps = {name: means for name, means in self._maps.items() if name in part.attributions}
        for name, means in self._maps.items():
            means.add(part.attributions[name].magnitude, told_apart)
        inputs = self.settings.read_alone(part.probe.inputs).explained
        self._inputs.add(kept_size(inputs.float()), told_apart)
        self._mistakes.add(part, inputs)

    def scores(self, of_shown: Mapping[str, float], class_names: Sequence[str] | None) -> dict[str, float]:
        """Return tag → the mean over all samples; what only the shown ones have, such as a drift, stays theirs.

        Args:
            of_shown: The scores of the shown samples.
            class_names: Names of the classes.
        """
        groups = self._groups if len(self._groups) == self._columns.n_rows else None
        found = SampleScores(self._sample_scores, self._of_regions)
        return {**of_shown, **mean_scores(found, self._columns.whole("labels"), groups, class_names)}

    @property
    def targets(self) -> dict[int, int]:
        """Position → the explained class."""
        positions, targets = self._columns.whole("positions"), self._columns.whole("target")
        if positions is None or targets is None:
            return {}
        return dict(zip(positions.tolist(), targets.tolist(), strict=True))

    def statistics(self, unreadable: Mapping[int, str]) -> ProbeStatistics:
        """Return what is kept of all samples.

        Args:
            unreadable: Position → why, of the items that could not be read.
        """
        positions, labels = self._columns.whole("positions"), self._columns.whole("labels")
        assert positions is not None, "the shown samples have positions"
        several = 1 < len(self._classes) <= MAX_CLASSES and labels is not None
        classes = [ALL, *(sorted(self._classes) if several else ())]
        names = SampleNames(self.shown, self.appearance.class_names)
        return ProbeStatistics(
            positions=positions,
            sample_scores=self._sample_scores,
            class_indices=torch.tensor(classes),
            classes=("all", *(names.exact(index) for index in classes[1:])),
            maps={name: one.of(classes) for name, one in self._maps.items()},
            images=self._images(classes),
            labels=labels,
            predictions=self._columns.whole("predictions"),
            confidences=self._columns.whole("confidences"),
            mistakes=self._mistakes.found(self.shown),
            unreadable={str(position): reason for position, reason in unreadable.items()},
        )

    def _images(self, classes: Sequence[int]) -> Tensor | None:
        if self.settings.tokens is not None:
            return None
        return torch.from_numpy(further_images(self._inputs.of(classes), self.shown, self.appearance))

    @property
    def _sample_scores(self) -> dict[str, Tensor]:
        names = [name for name in self._columns.names if name.startswith(_SCORE)]
        columns = {name.removeprefix(_SCORE): self._columns.whole(name) for name in names}
        return {tag: values for tag, values in columns.items() if values is not None}
