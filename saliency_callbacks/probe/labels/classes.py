"""Class labels: what counts as one, and how to find a dataset's without reading its items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from saliency_callbacks.probe.introspection import attribute, length

__all__ = ["class_indices", "dataset_label_sets", "dataset_labels", "label_sets", "one_hot_rows"]

_ATTRIBUTES = ("targets", "labels", "y")
_WRAPPED = ("dataset", "subset")
_MAX_DEPTH = 16


def class_indices(value: Any) -> Tensor | None:
    """Return ``value`` as class indices, or ``None`` where it holds no class labels.

    Args:
        value: A tensor, array, list or tuple ``[N]`` or ``[N, 1]`` of integers, or of floats that are all 0 or 1, as
            binary cross-entropy takes them; or one-hot rows ``[N, K]`` of any dtype.

    Returns:
        ``int64 [N]``; ``None`` for everything else, such as regression targets, several labels a sample
        (:func:`label_sets`), mixed labels (mixup), segmentation maps or boxes.
    """
    labels = _as_tensor(value)
    if labels is None or labels.ndim not in (1, 2) or labels.is_complex():
        return None
    if labels.shape[1:] == (1,):
        labels = labels[:, 0]
    if labels.ndim == 1:
        return labels.long() if not labels.is_floating_point() or _is_binary(labels) else None
    is_one_hot = _is_binary(labels) and bool((labels != 0).sum(dim=1).eq(1).all())
    return labels.float().argmax(dim=1) if is_one_hot else None


def label_sets(value: Any) -> Tensor | None:
    """Return ``value`` as the classes that each sample has, or ``None`` where it does not hold several a sample.

    Args:
        value: A tensor, array, list or tuple of multi-hot rows ``[N, K]``, of any dtype.

    Returns:
        ``bool [N, K]``; ``None`` for everything else, one-hot rows (:func:`class_indices`) included.
    """
    labels = _as_tensor(value)
    if labels is None or labels.ndim != 2 or labels.shape[1] < 2 or labels.is_complex():
        return None
    return labels != 0 if _is_binary(labels) and class_indices(labels) is None else None


def one_hot_rows(value: Any) -> Tensor | None:
    """Return rows ``bool [N, K]`` of which each has exactly one class; ``None`` for everything else.

    Whether a sample could have several is not to be seen in them.
    """
    labels = _as_tensor(value)
    is_rows = labels is not None and labels.ndim == 2 and labels.shape[1] > 1
    return labels != 0 if labels is not None and is_rows and class_indices(labels) is not None else None


def dataset_labels(dataset: Any) -> Tensor | None:
    """Return the label of every item of a map-style dataset without reading an item.

    Looks at the attributes ``targets``, ``labels`` and ``y``, at the only column of labels of a
    ``TensorDataset``, and through ``Subset``, ``ConcatDataset`` and wrappers of the same length.

    Args:
        dataset: A dataset with ``__len__``.

    Returns:
        ``int64 [len(dataset)]``, or ``None`` where no such attribute holds one class label an item.
    """
    return _find(dataset, _MAX_DEPTH, class_indices)


def dataset_label_sets(dataset: Any) -> Tensor | None:
    """Return the classes of every item of a map-style dataset whose items can have several, without reading an item.

    Looks where :func:`dataset_labels` does.

    Args:
        dataset: A dataset with ``__len__``.

    Returns:
        ``bool [len(dataset), K]``, or ``None`` where nothing holds multi-hot rows.
    """
    rows = _find(dataset, _MAX_DEPTH, _label_rows)
    if rows is None or bool(rows.sum(dim=1).ne(1).any()):
        return rows
    # A subset may have drawn none but items with one.
    return _find(dataset, _MAX_DEPTH, label_sets)


def _label_rows(value: Any) -> Tensor | None:
    """Return rows of labels, also those of a part of a dataset whose items have one each."""
    several = label_sets(value)
    return one_hot_rows(value) if several is None else several


def _find(dataset: Any, depth: int, read: Callable[[Any], Tensor | None]) -> Tensor | None:
    size = length(dataset)
    if size is None or depth == 0:
        return None
    for name in _ATTRIBUTES:
        labels = read(attribute(dataset, name))
        if labels is not None and len(labels) == size:
            return labels.cpu()
    if isinstance(dataset, TensorDataset):
        return _only_column(dataset, read)
    inner, indices = attribute(dataset, "dataset"), attribute(dataset, "indices")
    if inner is not None and (isinstance(dataset, Subset) or length(indices) == size):
        labels = _find(inner, depth - 1, read)
        return None if labels is None else _rows_of(labels, indices)
    if isinstance(dataset, ConcatDataset):
        parts = [_find(part, depth - 1, read) for part in dataset.datasets]
        found = [part for part in parts if part is not None]
        is_whole = len(found) == len(parts) and len({part.shape[1:] for part in found}) == 1
        return torch.cat(found) if is_whole else None
    return _find_wrapped(dataset, size, depth, read)


def _rows_of(labels: Tensor, indices: Any) -> Tensor | None:
    try:
        return labels[torch.as_tensor(list(indices), dtype=torch.long, device="cpu")]
    except (IndexError, TypeError, ValueError):
        return None


def _find_wrapped(dataset: Any, size: int, depth: int, read: Callable[[Any], Tensor | None]) -> Tensor | None:
    for name in _WRAPPED:
        inner = attribute(dataset, name)
        # A wrapper of another length leaves out or repeats items, in an order that only it knows.
        if inner is not None and length(inner) == size:
            return _find(inner, depth - 1, read)
    return None


def _only_column(dataset: TensorDataset, read: Callable[[Any], Tensor | None]) -> Tensor | None:
    # The inputs of a tensor dataset may be two-dimensional and binary as well.
    columns = [read(column) for column in dataset.tensors[1:] if column.ndim < 3]
    columns += [read(column) for column in dataset.tensors[:1] if column.ndim == 1]
    found = [column for column in columns if column is not None]
    # Of several, which are the labels is for the batch to tell.
    return found[0].cpu() if len(found) == 1 else None


def _is_binary(values: Tensor) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value.detach().as_subclass(Tensor)
    column_to_numpy = attribute(value, "to_numpy")  # a column of a data frame
    try:
        if column_to_numpy is not None:
            value = column_to_numpy()
        if not isinstance(value, np.ndarray | list | tuple):
            return None
        array = np.asarray(value)
    except Exception:
        return None
    if array.dtype.kind not in "biuf":
        return None
    return torch.from_numpy(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))
