"""Which weights a model has, told without keeping a copy of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from saliency_callbacks.capture.isolation.shards import local
from saliency_callbacks.capture.weights.bits import bit_sum, is_readable

__all__ = ["weight_digests"]


def weight_digests(model: nn.Module) -> Mapping[str, str]:
    """Return the name of each parameter and buffer → its dtype, shape, and a sum of its bits; no collective.

    Of sharded ones it is about the part that this process holds. What cannot be read as bytes (the subclasses of
    quantization, tensors without memory) has an empty digest.

    Args:
        model: Any module.

    Example:
        >>> import torch
        >>> layer = nn.Linear(2, 1)
        >>> before = weight_digests(layer)
        >>> with torch.no_grad():
        ...     _ = layer.bias.add_(1)
        >>> [name for name, digest in weight_digests(layer).items() if digest != before[name]]
        ['bias']
    """
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: _digest(local(tensor)) for name, tensor in named.items()}


def _digest(tensor: Tensor) -> str:
    if not is_readable(tensor):
        return ""
    return f"{tensor.dtype} {list(tensor.shape)} {int(bit_sum(tensor.detach())):x}"
