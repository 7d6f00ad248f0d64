"""A mark of everything that a model computes with, cheap enough to be taken whenever the model is explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.shards import local
from saliency_callbacks.capture.weights.bits import bit_sum, is_readable

__all__ = ["ModelMark", "mark_of"]

_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, eq=False)
class ModelMark:
    """What a model computes with at a moment.

    Args:
        sums: Of the bits of each parameter and buffer; ``None`` where one cannot be read.
        attributes: Submodules, their hooks, and their plain attributes.
    """

    sums: Tensor | None
    attributes: tuple[Any, ...]

    def is_of(self, model: nn.Module) -> bool:
        """Return whether a model is sure to be what it was, in its weights, buffers, hooks and plain attributes."""
        now = mark_of(model)
        if self.sums is None or now.sums is None or self.attributes != now.attributes:
            return False
        return torch.equal(self.sums, now.sums.to(self.sums.device))


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
    tensors = [local(tensor).detach() for tensor in (*model.parameters(), *model.buffers())]
    attributes = tuple(_attributes(name, module) for name, module in model.named_modules())
    if not all(map(is_readable, tensors)):
        return ModelMark(None, attributes)
    with torch.inference_mode(False), torch.no_grad():
        sums = [bit_sum(tensor) for tensor in tensors]
        device = sums[0].device if sums else None
        # Together, so that a device is waited for once.
        return ModelMark(torch.stack([one.to(device) for one in sums]) if sums else torch.zeros(0), attributes)


def _attributes(name: str, module: nn.Module) -> tuple[Any, ...]:
    # Whether it is training is not asked: it is explained in evaluation mode.
    plain = {key: value for key, value in vars(module).items() if isinstance(value, _PLAIN) and key != "training"}
    hooks = (tuple(getattr(module, kind, ())) for kind in ("_forward_hooks", "_forward_pre_hooks"))
    return name, id(module), plain, *hooks
