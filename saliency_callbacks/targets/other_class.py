"""A class other than the explained one, from the same output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.targets.logits import read_logits

__all__ = ["OtherClass"]


@dataclass(frozen=True)
class OtherClass:
    """A target: for each sample another class than the explained one, drawn once, the same at every call.

    A model with a single class score has no other class; its own score is returned.

    Args:
        classes: Explained class of each sample, ``[N]``.
        seed: Seed of the draw.
    """

    classes: Tensor
    seed: int = 0

    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        """Return the score of the other class of each row, ``[M]``."""
        logits = read_logits(output)
        n_classes = logits.shape[1]
        generator = torch.Generator().manual_seed(self.seed)
        draws = torch.rand(len(self.classes), generator=generator).to(logits.device)[samples]
        offsets = 1 + (draws * max(n_classes - 1, 1)).long()
        others = (self.classes.to(logits.device)[samples] + offsets) % n_classes
        return logits.gather(1, others[:, None])[:, 0]
