"""A mark of everything that a model computes with, cheap enough to be taken whenever the model is explained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.weights.bits import bit_sum, is_readable
from saliency_callbacks.capture.weights.walk import Walk

__all__ = ["ModelMark", "mark_of"]

# Where attributes hold more numbers than this, as a data set does, they are not read.
_MOST_NUMBERS = 10_000_000


@dataclass(frozen=True, eq=False)
class ModelMark:
    """What a model computes with at a moment.

    Args:
        facts: What its modules are made of, and the kind of every tensor.
        sums: Of the bits of every tensor; ``None`` where something cannot be compared.
    """

    facts: list[object]
    sums: Tensor | None

    def is_of(self, model: nn.Module) -> bool:
        """Return whether a model is sure to be what it was.

        That is: weights, buffers, submodules, hooks and attributes; of these also what is in containers, arrays, and
        objects of a person's own classes. What an attribute holds too deep, or in an object of which nothing can be
        read, is never sure; nor are modules of TorchScript. Of functions, and of objects of Lightning and torch, it is
        asked only whether they are the same ones.
        """
        now = mark_of(model)
        if self.sums is None or now.sums is None or self.facts != now.facts:
            return False
        return torch.equal(self.sums, now.sums)


def mark_of(model: nn.Module) -> ModelMark:
    """Return the mark of a model now; no collective. Of sharded weights it is about the part of this process.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> before = mark_of(layer)
        >>> before.is_of(layer)
        True
        >>> _ = layer.weight.data.add_(1)
        >>> before.is_of(layer)
        False
    """
    with torch.inference_mode(False), torch.no_grad():
        try:
            walk = Walk(model)
        except Exception:
            # A person's own container may not let itself be read.
            return ModelMark([], None)
        if not walk.is_whole or walk.n_numbers > _MOST_NUMBERS or not all(map(is_readable, walk.tensors)):
            return ModelMark(walk.facts, None)
        sums = [bit_sum(tensor) for tensor in walk.tensors]
        device = next((one.device for one in sums if one.device.type != "cpu"), torch.device("cpu"))
        # Together, so that a device is waited for once.
        together = torch.stack([one.to(device, non_blocking=True) for one in sums]) if sums else torch.zeros(0)
        return ModelMark(walk.facts, together)
