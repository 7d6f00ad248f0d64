"""The samples that deserve a look: wrong predictions, and of these the ones that the model is surest of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.saliency.history import Frame
from saliency_callbacks.callbacks.saliency.inputs import further_images
from saliency_callbacks.callbacks.saliency.streaming.explain import Explained
from saliency_callbacks.callbacks.saliency.streaming.means import kept_size
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.attribution import drawn_maps
from saliency_callbacks.types import Mistakes

__all__ = ["SurestMistakes"]

_MOST = 16


@dataclass(frozen=True, eq=False)
class _Rows:
    """A few samples; every tensor has a row for each."""

    columns: dict[str, Tensor]
    maps: dict[str, Tensor]

    def chosen(self, rows: Tensor) -> _Rows:
        return _Rows(
            {name: values[rows] for name, values in self.columns.items()},
            {name: maps[rows] for name, maps in self.maps.items()},
        )

    def joined(self, other: _Rows) -> _Rows:
        return _Rows(
            {name: torch.cat([values, other.columns[name]]) for name, values in self.columns.items()},
            {name: torch.cat([maps, other.maps[name]]) for name, maps in self.maps.items() if name in other.maps},
        )


class SurestMistakes:
    """Keeps the 16 wrong predictions with the highest probability.

    Args:
        appearance: How maps are drawn.
    """

    def __init__(self, appearance: Appearance) -> None:
        self.appearance = appearance
        self._kept: _Rows | None = None

    def add(self, part: Explained, inputs: Tensor) -> None:
        """Look at some samples.

        Args:
            part: What was found of them.
            inputs: What is explained of them, ``[N, C, *spatial]``.
        """
        labels, (predictions, confidences, _) = part.probe.labels, part.predictions
        if labels is None or predictions is None or confidences is None:
            return
        wrong = ((predictions != labels) & confidences.isfinite()).nonzero()[:, 0]
        if not len(wrong):
            return
        # Of those that are not among the surest of their chunk none is kept: nothing is drawn of them either.
        wrong = wrong[confidences[wrong].argsort(descending=True, stable=True)[:_MOST]]
        found = _Rows(
            {
                "positions": torch.tensor(part.probe.indices)[wrong],
                "labels": labels[wrong],
                "predictions": predictions[wrong],
                "confidences": confidences[wrong],
                "inputs": kept_size(inputs[wrong].float()),
            },
            {
                name: Frame.of("", drawn_maps(one, is_signed=self.appearance.is_signed)[wrong]).maps
                for name, one in part.attributions.items()
            },
        )
        both = found if self._kept is None else self._kept.joined(found)
        self._kept = both.chosen(both.columns["confidences"].argsort(descending=True, stable=True)[:_MOST])

    def found(self, shown: ProbeBatch) -> Mistakes | None:
        """Return the mistakes; ``None`` where there are none.

        Args:
            shown: The shown samples, which say how inputs become pictures.
        """
        if self._kept is None:
            return None
        columns = dict(self._kept.columns)
        images = further_images(columns.pop("inputs"), shown, self.appearance)
        return Mistakes(**columns, images=torch.from_numpy(images), maps=self._kept.maps)
