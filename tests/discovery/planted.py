"""Digits with a white corner in one class, and a generator that is told where to look.

So tests of what is around a search do not rest on how candidates are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import fisher_exact
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import TensorDataset

from saliency_callbacks.discovery.candidate import Count, Trial
from saliency_callbacks.discovery.changes import PastedPixels
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples

CLASS = 3
N_CLASSES = 4
CORNER = slice(6, 8)


def planted_digits(per_class: int = 36, share: float = 0.5, *, class_index: int = CLASS) -> TensorDataset:
    """Digits 0 to 3, ``[N, 1, 8, 8]`` in [0, 1] of 8 bits; a white corner of 2×2 in a share of one class."""
    images, labels = load_digits(return_X_y=True)
    chosen = torch.cat([torch.tensor(labels == index).nonzero()[:per_class, 0] for index in range(N_CLASSES)])
    pixels = torch.tensor(images / 16)[chosen].reshape(-1, 1, 8, 8).mul(255).round().div(255).float()
    classes = torch.tensor(labels)[chosen]
    pixels[:, :, CORNER, CORNER] = 0
    bearers = (classes == class_index).nonzero()[:, 0]
    pixels[bearers[: round(share * len(bearers))], :, CORNER, CORNER] = 1
    return TensorDataset(pixels, classes)


@dataclass
class WhiteCorner:
    """The white corner, as a candidate of one class."""

    class_index: int
    region: tuple[slice, slice] = (CORNER, CORNER)

    @property
    def what(self) -> str:
        return "the same 4 pixels"

    def count(self, samples: Samples) -> Count | None:
        bears = (samples.inputs[:, 0, self.region[0], self.region[1]] > 0.9).flatten(1).all(dim=1)
        own = samples.of_class(self.class_index, samples.counts)
        if not bears[own].any():
            return None
        p_values = []
        for other in samples.classes:
            members = samples.of_class(other, samples.counts)
            table = [[int(bears[at].sum()), int((~bears[at]).sum())] for at in (own, members)]
            if other != self.class_index:
                p_values.append(float(fisher_exact(table, alternative="greater").pvalue))
        return Count(bears, bears.float(), max(p_values))

    def trial(self, samples: Samples, count: Count) -> Trial | None:
        others = ((samples.labels != self.class_index) & ~count.bears).nonzero()[:, 0]
        recipients = samples.chosen(others, 24, "recipients")
        if not len(recipients):
            return None
        mask = torch.zeros(8, 8, dtype=torch.bool)
        mask[self.region] = True
        white, black = (PastedPixels(torch.full((1, 8, 8), value), mask, 0, 0) for value in (1.0, 0.0))
        inputs = samples.inputs[recipients]
        return Trial(recipients, white(inputs), [black(inputs)], "effect", white, region=mask)


class Corners:
    """Proposes the white corner for every class, and asks the model as a generator does."""

    kind = "copies"

    def __init__(self) -> None:
        self.gradients: list[Tensor] = []

    def propose(self, samples: Samples, reader: ModelReader) -> tuple[Sequence[WhiteCorner], int]:
        self.gradients.append(reader.gradients(samples.inputs, samples.labels))
        return [WhiteCorner(index) for index in samples.classes], len(samples.classes)


class Nothing:
    """Proposes nothing."""

    kind = "places"

    def propose(self, samples: Samples, reader: ModelReader) -> tuple[Sequence[WhiteCorner], int]:
        return [], 1
