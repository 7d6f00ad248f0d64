"""What tells one target from another, in a string that a checkpoint can keep."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["target_identity"]


def target_identity(target: Any) -> str:
    """Return the type of a target, and a digest of its fields.

    Tensors count by what they hold; what is no value (a tokenizer, a function) by its type alone, as it has no bytes
    that two processes share.

    Args:
        target: A dataclass.

    Example:
        >>> from saliency_callbacks.targets import ContrastTarget
        >>> target_identity(ContrastTarget(2, 0)) == target_identity(ContrastTarget(2, 1))
        False
    """
    digest = hashlib.sha256()
    for part in _parts(vars(target)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return f"{type(target).__name__} {digest.hexdigest()}"


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield f"{value.dtype}{list(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        yield f"{{{len(value)}".encode()
        for key, one in value.items():
            yield from (*_parts(key), *_parts(one))
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}".encode()
        for one in value:
            yield from _parts(one)
    else:
        is_plain = isinstance(value, str | int | float | bool | None)
        yield repr(value).encode() if is_plain else type(value).__qualname__.encode()
