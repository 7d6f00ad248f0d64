"""Where the ids of a text's tokens are among the inputs of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["ID_KEYS", "are_ids", "entries_of", "keys_of_ids"]

ID_KEYS = ("input_ids", "ids", "token_ids", "tokens")
"""Keys under which a dictionary holds the ids of the tokens, where it has several tensors of integers."""


def are_ids(value: Any) -> bool:
    """Return whether a value can be the ids of tokens: a tensor of integers ``[N, T]``."""
    if not isinstance(value, Tensor) or value.ndim != 2 or value.dtype == torch.bool:
        return False
    return not value.is_floating_point() and not value.is_complex()


def entries_of(inputs: Any) -> dict[Any, Any]:
    """Return the inputs of a model by key or position; none where they are neither mapping nor sequence."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return dict(enumerate(inputs)) if isinstance(inputs, list | tuple) else {}


def keys_of_ids(entries: Mapping[Any, Any]) -> list[Any]:
    """Return the keys of all entries that can be the ids of tokens."""
    return [key for key, value in entries.items() if are_ids(value)]
