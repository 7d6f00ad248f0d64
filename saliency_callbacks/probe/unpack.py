"""From what a DataLoader delivers to the explained inputs, the labels and the masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.labels import class_indices, label_sets

__all__ = [
    "IMAGE_KEYS",
    "INPUT_KEYS",
    "LABEL_KEYS",
    "MASK_KEYS",
    "TOKEN_KEYS",
    "Unpacked",
    "split_batch",
    "split_with",
    "unpack_batch",
    "unpack_with",
]

INPUT_KEYS = ("image", "images", "pixel_values", "input", "inputs", "x", "img", "data", "input_values")
"""Keys, in any case, under which a batch dictionary holds what the model is given."""

LABEL_KEYS = ("label", "labels", "target", "targets", "y")
"""Keys, in any case, under which a batch dictionary holds the labels; the first that holds class labels counts."""

IMAGE_KEYS = ("image", "images", "pixel_values", "img")
"""Those of :data:`INPUT_KEYS` that say that it is an image, which masks can be of."""

MASK_KEYS = ("mask", "masks")
"""Keys, in any case, under which a batch dictionary holds the region of interest of each image."""

TOKEN_KEYS = ("input_ids", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids")
"""Keys under which a batch dictionary holds what a text model is given, as of Hugging Face's tokenizers."""

_FIX = 'Say how to read it with Probe(unpack_batch="package.function"), a function batch -> (inputs, labels).'


@dataclass(frozen=True, eq=False)
class Unpacked:
    """The parts of a batch.

    Args:
        inputs: What the model is given: a tensor, or a tuple or dictionary of tensors.
        labels: Class of each sample, ``int64 [N]``, or classes of each, ``bool [N, K]``, where there are any.
        masks: Region of interest of each sample, ``[N, *spatial]``, where there are any.
    """

    inputs: Any
    labels: Tensor | None = None
    masks: Any = None

    @property
    def pair(self) -> tuple[Any, Tensor | None]:
        """The inputs, and the labels where each sample has one."""
        return self.inputs, None if self.labels is None or self.labels.ndim > 1 else self.labels


def unpack_batch(batch: Any) -> tuple[Any, Tensor | None]:
    """Split a batch into inputs and labels by its form.

    ======================================  ===================================================
    Batch                                   Inputs
    ======================================  ===================================================
    tensor                                  the tensor
    ``(x,)``, ``(x, y)``, ``(x, y, ...)``   ``x``; a tuple or dictionary ``x`` keeps its structure
    dictionary, one of :data:`INPUT_KEYS`   the value under that key
    dictionary, several of them             a dictionary of those
    dictionary with ``"input_ids"``         a dictionary of those of :data:`TOKEN_KEYS`
    ======================================  ===================================================

    Args:
        batch: A collated batch, on any device.

    Returns:
        The inputs (tensor, tuple or dict), and the labels as ``int64 [N]``: integers ``[N]`` or ``[N, 1]``,
        or one-hot rows ``[N, K]``. Anything else in the position of the labels, such as regression
        targets, masks or boxes, gives ``None``.

    Raises:
        ProbeError: The batch has another form.
    """
    return split_batch(batch).pair


def unpack_with(function: Callable[..., Any], batch: Any) -> tuple[Any, Tensor | None]:
    """Split a batch into inputs and labels with a function; see :func:`split_with`.

    Raises:
        ProbeError: The function returned something else than :func:`split_with` reads.
    """
    return split_with(function, batch).pair


def split_batch(batch: Any) -> Unpacked:
    """Split a batch as :func:`unpack_batch` does, and find the masks in it.

    Masks are what a dictionary holds under one of :data:`MASK_KEYS`, ``[N, *spatial]`` or ``[N, 1, *spatial]``, bool,
    integers or shares in [0, 1], if its inputs are a single tensor ``[N, C, *spatial]`` under one of
    :data:`IMAGE_KEYS`. Whatever else stands there, such as masks of another resolution, may serve any other purpose
    and is left alone.

    Args:
        batch: A collated batch, on any device.

    Raises:
        ProbeError: The batch has another form.
    """
    if isinstance(batch, Tensor | np.ndarray):
        return Unpacked(batch)
    if isinstance(batch, Mapping):
        return _split_mapping(batch)
    if isinstance(batch, list | tuple) and batch and _holds_tensor(batch[0]):
        return Unpacked(_plain(batch[0]), _labels_of(batch[1]) if len(batch) > 1 else None)
    raise ProbeError(
        f"The batch {describe(batch)} cannot be read: a tensor, (x, y), or a dictionary with an input under one of "
        f"{', '.join(map(repr, INPUT_KEYS))} was expected. {_FIX}"
    )


def split_with(function: Callable[..., Any], batch: Any) -> Unpacked:
    """Split a batch with a function ``batch -> (inputs, labels)`` or ``batch -> (inputs, labels, masks)``.

    Labels are read as in :func:`unpack_batch`.

    Raises:
        ProbeError: The function returned something else, or its inputs hold no tensor.
    """
    result = function(batch)
    if not isinstance(result, list | tuple) or len(result) not in (2, 3) or not _holds_tensor(result[0]):
        name = getattr(function, "__qualname__", repr(function))
        raise ProbeError(
            f"The function {name}, given as Probe(unpack_batch=...), returned {describe(result)} for the batch "
            f"{describe(batch)}. Let it return a pair (inputs, labels), or (inputs, labels, masks); labels and masks "
            "may be None."
        )
    return Unpacked(_plain(result[0]), _labels_of(result[1]), *result[2:])


def _split_mapping(batch: Mapping[Any, Any]) -> Unpacked:
    by_name = {key.lower(): key for key in batch if isinstance(key, str)}
    inputs = {by_name[name]: batch[by_name[name]] for name in INPUT_KEYS if name in by_name}
    inputs = {key: _plain(value) for key, value in inputs.items() if _holds_tensor(value)}
    if not inputs and any(_holds_tensor(batch.get(name)) for name in TOKEN_KEYS[:2]):
        texts = {key: _plain(batch[key]) for key in TOKEN_KEYS if _holds_tensor(batch.get(key))}
        return Unpacked(texts, _labels_in(batch, by_name))
    if not inputs:
        raise ProbeError(
            f"The batch {describe(batch)} has no tensor under any of {', '.join(map(repr, INPUT_KEYS))}. {_FIX}"
        )
    labels = _labels_in(batch, by_name)
    if len(inputs) > 1:
        return Unpacked(inputs, labels)
    ((key, only),) = inputs.items()
    entries = (batch[by_name[name]] for name in MASK_KEYS if name in by_name and key.lower() in IMAGE_KEYS)
    masks = (_masks_of_images(entry, only) for entry in entries)
    return Unpacked(only, labels, next((found for found in masks if found is not None), None))


def _labels_in(batch: Mapping[Any, Any], by_name: Mapping[str, Any]) -> Tensor | None:
    candidates = (_labels_of(batch[by_name[name]]) for name in LABEL_KEYS if name in by_name)
    return next((labels for labels in candidates if labels is not None), None)


def _labels_of(value: Any) -> Tensor | None:
    """Return ``int64 [N]``, ``bool [N, K]`` where a sample has several labels, or ``None``."""
    classes = class_indices(value)
    return label_sets(value) if classes is None else classes


def _masks_of_images(entry: Any, images: Any) -> Tensor | None:
    """Return ``entry`` as masks ``[N, *spatial]``, or ``None`` where it is something else than masks of ``images``."""
    if not isinstance(entry, Tensor | np.ndarray) or not isinstance(images, Tensor | np.ndarray) or images.ndim < 3:
        return None
    size, _, *spatial = images.shape
    if list(entry.shape) == [size, 1, *spatial]:
        entry = entry[:, 0]
    if list(entry.shape) != [size, *spatial] or (isinstance(entry, np.ndarray) and entry.dtype.kind not in "biuf"):
        return None
    masks = torch.as_tensor(entry)
    are_shares = not masks.is_floating_point() or bool(((masks >= 0) & (masks <= 1)).all())
    return masks if are_shares and not masks.is_complex() else None


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
