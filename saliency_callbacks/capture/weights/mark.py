"""A mark of everything that a model computes with, cheap enough to be taken whenever the model is explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.shards import local

__all__ = ["ModelMark", "mark_of"]

# A prime, so that rows of a weight that change places change the columns, too.
_COLUMNS = 4093
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
    if not all(map(_is_readable, tensors)):
        return ModelMark(None, attributes)
    with torch.inference_mode(False), torch.no_grad():
        sums = [_sum(tensor) for tensor in tensors]
        device = sums[0].device if sums else None
        # Together, so that a device is waited for once.
        return ModelMark(torch.stack([one.to(device) for one in sums]) if sums else torch.zeros(0), attributes)


def _attributes(name: str, module: nn.Module) -> tuple[Any, ...]:
    # Whether it is training is not asked: it is explained in evaluation mode.
    plain = {key: value for key, value in vars(module).items() if isinstance(value, _PLAIN) and key != "training"}
    hooks = (tuple(getattr(module, kind, ())) for kind in ("_forward_hooks", "_forward_pre_hooks"))
    return name, id(module), plain, *hooks


def _is_readable(tensor: Tensor) -> bool:
    is_plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_plain and not (tensor.is_meta or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def _sum(tensor: Tensor) -> Tensor:
    """Return a sum in which every number counts by its bits and its place."""
    flat = tensor.reshape(-1).contiguous()
    size = flat.element_size()
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = flat.view(kinds.get(size, torch.int64))
    whole = bits.numel() // _COLUMNS * _COLUMNS
    columns = bits[:whole].view(-1, _COLUMNS).sum(dim=0, dtype=torch.int64)
    columns[: bits.numel() - whole] += bits[whole:]
    # Odd factors, which lose no bit where the sum overflows.
    return (columns * torch.arange(1, 2 * _COLUMNS, 2, device=bits.device)).sum()
