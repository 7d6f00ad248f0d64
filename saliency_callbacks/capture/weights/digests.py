"""Which weights a model has, told without keeping a copy of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.shards import local

__all__ = ["weight_digests"]


def weight_digests(model: nn.Module) -> Mapping[str, str]:
    """Return the name of each parameter and buffer → a digest of its dtype, shape and bits; no collective.

    Of sharded ones it is about the part that this process holds. What cannot be read as bytes (the subclasses of
    quantization, tensors without memory) has an empty digest.

    Args:
        model: Any module.

    Example:
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
    is_plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    if not is_plain or tensor.is_meta or tensor.is_quantized or tensor.is_conj() or tensor.is_neg():
        return ""
    digest = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)} ".encode())
    digest.update(tensor.detach().reshape(-1).contiguous().view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()
