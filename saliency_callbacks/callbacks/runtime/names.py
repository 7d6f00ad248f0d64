"""What the samples of a probe, and their classes, are called in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.panel import Caption
from saliency_callbacks.rendering.text import legible
from saliency_callbacks.types import Snapshot

__all__ = ["SampleNames", "wrong_predictions"]


@dataclass(frozen=True, eq=False)
class SampleNames:
    """Names of the samples of a probe.

    Args:
        probe: The frozen probe.
        class_names: Names of the classes; the probe's by default.
    """

    probe: ProbeBatch
    class_names: Sequence[str] | None = None

    def exact(self, index: int) -> str:
        """Return the name of a class as it is."""
        return self.probe.class_name(index, self.class_names)

    def of_class(self, index: int) -> str:
        """Return the name of a class, in letters that can be drawn."""
        return legible(self.exact(index), f"class {index}")

    def of_sample(self, position: int) -> str:
        """Return the class of a sample where it has one, else its id."""
        labels = self.probe.labels
        return f"#{self.probe.ids[position]}" if labels is None else self.of_class(int(labels[position]))

    def samples(self) -> list[str]:
        """Return the name of each sample."""
        return [self.of_sample(position) for position in range(self.probe.size)]

    def captions(self, snapshot: Snapshot) -> list[Caption]:
        """Return each sample's name with its prediction, or the explained score where the model does not classify."""
        return [self.caption(snapshot, position) for position in range(self.probe.size)]

    def caption(self, snapshot: Snapshot, position: int) -> Caption:
        """Return one of :meth:`captions`."""
        title = self.of_sample(position)
        if snapshot.predictions is None or snapshot.confidences is None:
            score = float(next(iter(snapshot.attributions.values())).score[position])
            return Caption(title, f"score {score:.3g}")
        predicted = int(snapshot.predictions[position])
        detail = f"pred {self.of_class(predicted)} · {float(snapshot.confidences[position]):.2f}"
        wrong = wrong_predictions(snapshot)
        return Caption(title, detail, None if wrong is None else bool(wrong[position]))


def wrong_predictions(snapshot: Snapshot) -> Tensor | None:
    """Return which predictions differ from the label, ``bool [N]``; ``None`` where that is not known."""
    if snapshot.predictions is None or snapshot.labels is None:
        return None
    return snapshot.predictions != snapshot.labels
