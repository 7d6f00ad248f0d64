"""From what a DataLoader delivers to the explained inputs and the labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.description import describe
from saliency_callbacks.probe.labels import class_indices

__all__ = ["INPUT_KEYS", "LABEL_KEYS", "unpack_batch", "unpack_with"]

INPUT_KEYS = ("image", "images", "pixel_values", "input", "inputs", "x", "img", "data", "input_values")
"""Keys, in any case, under which a batch dictionary holds what the model is given."""

LABEL_KEYS = ("label", "labels", "target", "targets", "y")
"""Keys, in any case, under which a batch dictionary holds the labels; the first that holds class labels counts."""

_FIX = 'Say how to read it with Probe(unpack_batch="package.function"), a function batch -> (inputs, labels).'


def unpack_batch(batch: Any) -> tuple[Any, Tensor | None]:
    """Split a batch into inputs and labels by its form.

    ======================================  ===================================================
    Batch                                   Inputs
    ======================================  ===================================================
    tensor                                  the tensor
    ``(x,)``, ``(x, y)``, ``(x, y, ...)``   ``x``; a tuple or dictionary ``x`` keeps its structure
    dictionary, one of :data:`INPUT_KEYS`   the value under that key
    dictionary, several of them             a dictionary of those
    ======================================  ===================================================

    Args:
        batch: A collated batch, on any device.

    Returns:
        The inputs (tensor, tuple or dict), and the labels as ``int64 [N]``: integers ``[N]`` or ``[N, 1]``,
        or one-hot rows ``[N, K]``. Anything else that stands in the labels' place, such as regression
        targets, masks or boxes, gives ``None``.

    Raises:
        ProbeError: The batch has another form.
    """
    if isinstance(batch, Tensor | np.ndarray):
        return batch, None
    if isinstance(batch, Mapping):
        return _unpack_mapping(batch)
    if isinstance(batch, list | tuple) and batch and _holds_tensor(batch[0]):
        labels = class_indices(batch[1]) if len(batch) > 1 else None
        return _plain(batch[0]), labels
    raise ProbeError(
        f"The batch {describe(batch)} cannot be read: a tensor, (x, y), or a dictionary with an input under one of "
        f"{', '.join(map(repr, INPUT_KEYS))} was expected. {_FIX}"
    )


def unpack_with(function: Callable[..., Any], batch: Any) -> tuple[Any, Tensor | None]:
    """Split a batch with a function ``batch -> (inputs, labels)``; labels are read as in :func:`unpack_batch`.

    Raises:
        ProbeError: The function returned something else than a pair whose first entry holds a tensor.
    """
    result = function(batch)
    if not isinstance(result, list | tuple) or len(result) != 2 or not _holds_tensor(result[0]):
        name = getattr(function, "__qualname__", repr(function))
        raise ProbeError(
            f"The function {name}, given as Probe(unpack_batch=...), returned {describe(result)} for the batch "
            f"{describe(batch)}. Let it return a pair (inputs, labels); labels may be None."
        )
    return _plain(result[0]), class_indices(result[1])


def _unpack_mapping(batch: Mapping[Any, Any]) -> tuple[Any, Tensor | None]:
    by_name = {key.lower(): key for key in batch if isinstance(key, str)}
    inputs = {by_name[name]: batch[by_name[name]] for name in INPUT_KEYS if name in by_name}
    inputs = {key: _plain(value) for key, value in inputs.items() if _holds_tensor(value)}
    if not inputs:
        raise ProbeError(
            f"The batch {describe(batch)} has no tensor under any of {', '.join(map(repr, INPUT_KEYS))}. {_FIX}"
        )
    candidates = (class_indices(batch[by_name[name]]) for name in LABEL_KEYS if name in by_name)
    labels = next((labels for labels in candidates if labels is not None), None)
    return (inputs if len(inputs) > 1 else next(iter(inputs.values()))), labels


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_tensor(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_tensor(each) for each in value)
    return isinstance(value, Tensor | np.ndarray)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return tuple(_plain(each) for each in value) if isinstance(value, list | tuple) else value
