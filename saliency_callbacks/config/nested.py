"""Nested inputs, whatever their structure: a description for messages, copies, parts, and a fingerprint."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.fields import fields_of
from saliency_callbacks.errors import ProbeError

__all__ = ["copy_inputs", "describe", "fingerprint", "leaves"]

_MAX_ENTRIES = 8
_MAX_LENGTH = 300
_CONSTANTS = (str, int, float, bool, type(None))


def describe(value: Any) -> str:
    """Return the types, keys, shapes and dtypes of ``value`` in at most 300 characters, never its content."""
    return textwrap.shorten(_describe(value, depth=3), _MAX_LENGTH, placeholder=" …")


def _describe(value: Any, depth: int) -> str:
    if isinstance(value, Tensor | np.ndarray):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{type(value).__name__}{list(value.shape)} {dtype}"
    if isinstance(value, Mapping):
        return f"{type(value).__name__} {{{_entries([f'{key!r}: ' for key in value], list(value.values()), depth)}}}"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return f"{type(value).__name__} of {len(value)} ({_entries([''] * len(value), value, depth)})"
    fields = fields_of(value)
    if fields is not None:
        return f"{type(value).__name__} ({_entries([f'.{name}: ' for name in fields], list(fields.values()), depth)})"
    return type(value).__name__


def _entries(prefixes: list[str], values: list[Any] | tuple[Any, ...], depth: int) -> str:
    if depth == 0:
        return "…"
    pairs = zip(prefixes[:_MAX_ENTRIES], values[:_MAX_ENTRIES], strict=True)
    shown = [prefix + _describe(value, depth - 1) for prefix, value in pairs]
    return ", ".join(shown + ["…"] * (len(values) > _MAX_ENTRIES))


def copy_inputs(inputs: Any) -> Any:
    """Return a detached copy of ``inputs`` on the CPU: plain tensors, and tuples and dictionaries of them.

    Raises:
        ProbeError: There is something in it that is neither a tensor nor an array nor a plain constant.
    """
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(np.ascontiguousarray(inputs))
    if isinstance(inputs, Tensor):
        # A tensor created under inference mode could never take part in a backward pass.
        with torch.inference_mode(False):
            return inputs.detach().cpu().clone().as_subclass(Tensor)
    if isinstance(inputs, Mapping):
        return {str(key): copy_inputs(value) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return tuple(copy_inputs(value) for value in inputs)
    if isinstance(inputs, _CONSTANTS):
        return inputs
    raise ProbeError(
        f"the probe's inputs contain {describe(inputs)}; expected only tensors, or tuples and dictionaries of tensors. "
        'Leave it out with Probe(unpack_batch="package.function"), a function batch -> (inputs, labels)'
    )


def fingerprint(inputs: Any, labels: Tensor | None = None) -> str:
    """Return the SHA-256, in hexadecimal, of the content of ``inputs`` and ``labels``.

    It covers structure, dtype, shape and bytes of every tensor in row-major order; dictionaries are read in
    the order of their sorted keys. Device and memory format do not matter.

    Args:
        inputs: A tensor, or a tuple or dictionary of tensors and constants.
        labels: ``[N]`` or ``None``.
    """
    digest = hashlib.sha256()
    for path, leaf in leaves({"inputs": inputs, "labels": labels}):
        if isinstance(leaf, Tensor):
            content = leaf.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{path}:{leaf.dtype}{list(leaf.shape)}:".encode())
            # NumPy has no bfloat16, so the bytes are hashed rather than the numbers.
            digest.update(content.view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{path}:{leaf!r}:".encode())
    return digest.hexdigest()


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of everything inside tuples and dictionaries, the latter by sorted key."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from leaves(value[key], f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for position, each in enumerate(value):
            yield from leaves(each, f"{path}[{position}]")
    else:
        yield path, value
