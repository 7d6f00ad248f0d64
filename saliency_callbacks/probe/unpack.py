"""From what a DataLoader delivers to the explained inputs, the labels and the masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.batch_names import IMAGE_KEYS, INPUT_KEYS, MASK_KEYS, TOKEN_KEYS
from saliency_callbacks.config.fields import fields_of
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.labels.classes import one_hot_rows
from saliency_callbacks.probe.labels.columns import LabelColumn, columns_of, labels_in, unread
from saliency_callbacks.probe.labels.objects import Objects, annotations_in, objects_in, stacked, united_masks

__all__ = ["Unpacked", "split_batch", "split_with", "unpack_batch"]

_FIX = 'Say how to read it with Probe(unpack_batch="package.function"), a function batch -> (inputs, labels)'


@dataclass(frozen=True, eq=False)
class Unpacked:
    """The parts of a batch.

    Args:
        inputs: What the model is given: a tensor, or a tuple or dictionary of tensors.
        columns: What could be the labels, the likeliest first.
        masks: Region of interest of each sample, ``[N, *spatial]``, where there are any.
        named: All that the batch holds by name, for a model that takes more of it; ``None`` without names.
        key: Name of the inputs there, where they are one entry.
        ordered: The batch from its inputs on, where it is a tuple or list.
        unread: What is to be said where there are no such columns.
        objects: The objects that are annotated in each picture, where they are.
    """

    inputs: Any
    columns: tuple[LabelColumn, ...] = ()
    masks: Any = None
    named: Mapping[Any, Any] | None = None
    key: str | None = None
    ordered: tuple[Any, ...] = ()
    unread: str | None = None
    objects: tuple[Objects, ...] | None = None

    @property
    def labels(self) -> Tensor | None:
        """Class of each sample, ``int64 [N]``, or classes of each, ``bool [N, K]``, where there are any."""
        return self.columns[0].labels if self.columns else None

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

    A named tuple, a dataclass, or any other object with tensors as attributes is read as the dictionary of these. In a
    tuple, what comes before the first tensor of two or more dimensions (a path, an index) is no input.

    Labels are what is called so (:data:`LABEL_KEYS`, ``"gt_label"``), also further in (``{"target": {"label": y}}``),
    or, in a tuple, the first other part that can be read as labels: ``(x, path, y)``, ``(x, (y, meta))``.

    Args:
        batch: A collated batch, on any device.

    Returns:
        The inputs (tensor, tuple or dict), and the labels as ``int64 [N]``: integers ``[N]`` or ``[N, 1]``, floats that
        are all 0 or 1, or one-hot rows ``[N, K]``. Where nothing of the kind is found, as beside regression targets,
        masks or boxes, ``None``.

    Raises:
        ProbeError: The batch has another form.
    """
    return split_batch(batch).pair


def split_batch(batch: Any) -> Unpacked:
    """Split a batch as :func:`unpack_batch` does, and find the masks in it.

    Masks are what a dictionary holds under one of :data:`~saliency_callbacks.config.batch_names.MASK_KEYS`,
    ``[N, *spatial]`` or ``[N, 1, *spatial]``, bool, integers or shares in [0, 1], if its inputs are a single tensor
    ``[N, C, *spatial]`` under one of :data:`~saliency_callbacks.config.batch_names.IMAGE_KEYS`. Whatever else stands
    there, such as masks of another resolution, may serve any other purpose
    and is left alone.

    Args:
        batch: A collated batch, on any device.

    Raises:
        ProbeError: The batch has another form.
    """
    if isinstance(batch, Tensor | np.ndarray):
        return Unpacked(batch)
    fields = fields_of(batch)
    has_names = fields is not None and (not isinstance(batch, tuple) or bool(_inputs_in(fields)))
    if fields is not None and has_names:
        return _split_fields(batch, fields)
    at = _inputs_at(batch) if isinstance(batch, list | tuple) else None
    if at is not None:
        annotations = annotations_in(batch[at + 1 :], batch[at])
        pictures = None if annotations is None else stacked(batch[at])
        inputs = _plain(batch[at]) if pictures is None else pictures
        columns = columns_of(batch, at, _n_rows(inputs))
        parts = Unpacked(inputs, tuple(columns), ordered=(inputs, *map(_plain, batch[at + 1 :])))
        if annotations is not None:
            return _annotated(parts, annotations)
        return replace(parts, unread=None if columns else unread(batch, at, _n_rows(inputs)))
    raise ProbeError(
        f"the batch {describe(batch)} cannot be read; expected a tensor, (x, y), or a dictionary with an input under "
        f"one of {', '.join(map(repr, INPUT_KEYS))}. {_about_text(batch) or _FIX}"
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
            f"the function {name}, given as Probe(unpack_batch=…), returned {describe(result)} for the batch "
            f"{describe(batch)}; expected a pair (inputs, labels), or (inputs, labels, masks), where labels and masks "
            "may be None"
        )
    labels = labels_in(result[1])
    return Unpacked(
        _plain(result[0]),
        () if labels is None else (LabelColumn("labels", labels, one_hot_rows(result[1])),),
        *result[2:],
    )


def _split_fields(batch: Any, fields: Mapping[Any, Any]) -> Unpacked:
    inputs = _inputs_in(fields)
    if not inputs:
        raise ProbeError(
            f"the batch {describe(batch)} has no tensor under any of {', '.join(map(repr, INPUT_KEYS))}. "
            f"{_about_text(fields) or _FIX}"
        )
    ((key, only), *others) = inputs.items()
    columns = columns_of(batch, None, _n_rows(only))
    parts = Unpacked(
        inputs,
        tuple(columns),
        named={str(name): _plain(value) for name, value in fields.items()},
        unread=None if columns else unread(batch, None, _n_rows(only)),
    )
    if others or key in TOKEN_KEYS:
        return parts
    by_name = {name.lower(): value for name, value in fields.items() if isinstance(name, str)}
    entries = (by_name[name] for name in MASK_KEYS if name in by_name and key.lower() in IMAGE_KEYS)
    masks = (_masks_of_images(entry, only) for entry in entries)
    parts = replace(parts, inputs=only, key=key, masks=next((found for found in masks if found is not None), None))
    return _annotated(parts, annotations_in([each for name, each in fields.items() if name != key], only))


def _annotated(parts: Unpacked, annotations: Sequence[Mapping[str, Any]] | None) -> Unpacked:
    """Return the parts of a batch with the objects in its pictures, and the masks of these as one for each picture."""
    size = getattr(parts.inputs, "shape", ())[2:]
    objects = None if annotations is None or len(size) != 2 else objects_in(annotations, size)
    if objects is None or annotations is None:
        return parts
    masks = united_masks(annotations, size) if parts.masks is None else parts.masks
    return replace(parts, objects=objects, masks=masks, unread=None)


def _inputs_in(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what the model is given, as far as the names tell; empty where they do not."""
    by_name = {key.lower(): key for key in fields if isinstance(key, str)}
    inputs = {by_name[name]: fields[by_name[name]] for name in INPUT_KEYS if name in by_name}
    inputs = {key: _plain(value) for key, value in inputs.items() if _holds_tensor(value)}
    if not inputs and any(_holds_tensor(fields.get(name)) for name in TOKEN_KEYS[:2]):
        return {key: _plain(fields[key]) for key in TOKEN_KEYS if _holds_tensor(fields.get(key))}
    return inputs


def _inputs_at(batch: list[Any] | tuple[Any, ...]) -> int | None:
    """Return the position of the inputs: of the first tensor of two or more dimensions, else the first."""
    for place, part in enumerate(batch):
        if any(each.ndim > 1 for each in _tensors_in(part)):
            return place
    return 0 if batch and _holds_tensor(batch[0]) else None


def _n_rows(inputs: Any) -> int | None:
    return next((each.shape[0] for each in _tensors_in(inputs) if each.ndim), None)


def _about_text(batch: Any) -> str:
    """Return what to do with a batch of texts that are not tokenized, where it is one."""
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    texts = [part for part in (batch, *parts) if isinstance(part, list | tuple) and part]
    if not any(isinstance(text, str) for part in texts for text in part):
        return ""
    return (
        "To explain text inputs, tokenize them in the dataset or the collate function, so that the batch has "
        "'input_ids', and attach TokenSaliencyMonitor(tokenizer=…). Otherwise: " + _FIX
    )


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
    return next(_tensors_in(value), None) is not None


def _tensors_in(value: Any) -> Iterator[Any]:
    if isinstance(value, Tensor | np.ndarray):
        yield value
        return
    fields = fields_of(value)
    parts = fields.values() if fields is not None else value if isinstance(value, list | tuple) else ()
    for part in parts:
        yield from _tensors_in(part)


def _plain(value: Any) -> Any:
    """Return ``value`` with dictionaries and tuples in place of other containers."""
    fields = None if isinstance(value, tuple) else fields_of(value)
    if fields is not None:
        return {key: _plain(each) for key, each in fields.items()}
    return tuple(_plain(each) for each in value) if isinstance(value, list | tuple) else value
