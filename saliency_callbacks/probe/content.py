"""The content of inputs, whatever their structure: copies of it, its parts, and its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.description import describe

__all__ = ["copy_inputs", "fingerprint", "leaves"]

_CONSTANTS = (str, int, float, bool, type(None))


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
        f"The inputs of the probe hold {describe(inputs)}; tensors, and tuples and dictionaries of tensors, were "
        'expected. Leave it out with Probe(unpack_batch="package.function"), a function batch -> (inputs, labels).'
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
