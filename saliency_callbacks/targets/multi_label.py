"""Labels as targets where a sample can have several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.logits import read_logits

__all__ = ["MultiLabels"]


@dataclass(frozen=True, eq=False)
class MultiLabels:
    """A target: the mean score of the labels that are on; of all labels for a sample that has none.

    Args:
        labels: Labels of each sample, ``bool [N, K]``.
    """

    labels: Tensor

    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        """Return the score of each row, ``[M]``.

        Raises:
            TargetError: If the output has another number of columns than there are labels.
        """
        scores = read_logits(output)
        if scores.shape[1] != self.labels.shape[1]:
            raise TargetError(
                f"target='label', but the model returns {scores.shape[1]} values per sample for "
                f"{self.labels.shape[1]} labels; expected one per label. Check the labels or the size of the model's "
                "head, or explain something else, e.g. target='initial_prediction'"
            )
        on = self.labels.to(scores.device)[samples]
        on = on | ~on.any(dim=1, keepdim=True)
        return (scores * on).sum(dim=1) / on.sum(dim=1)
