"""A short description of any batch, for error messages."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["describe"]

_MAX_ENTRIES = 8
_MAX_LENGTH = 300


def describe(value: Any) -> str:
    """Return the types, keys, shapes and dtypes of ``value`` in at most 300 characters, never its content."""
    return textwrap.shorten(_describe(value, depth=3), _MAX_LENGTH, placeholder=" …")


def _describe(value: Any, depth: int) -> str:
    if isinstance(value, Tensor | np.ndarray):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{type(value).__name__}{list(value.shape)} {dtype}"
    if isinstance(value, Mapping):
        return f"{type(value).__name__} {{{_entries([f'{key!r}: ' for key in value], list(value.values()), depth)}}}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)} ({_entries([''] * len(value), value, depth)})"
    return type(value).__name__


def _entries(prefixes: list[str], values: list[Any] | tuple[Any, ...], depth: int) -> str:
    if depth == 0:
        return "…"
    pairs = zip(prefixes[:_MAX_ENTRIES], values[:_MAX_ENTRIES], strict=True)
    shown = [prefix + _describe(value, depth - 1) for prefix, value in pairs]
    return ", ".join(shown + ["…"] * (len(values) > _MAX_ENTRIES))
