"""Whether samples can have several labels, where each of those that are seen has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_convert

from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.labels.classes import dataset_label_sets, dataset_labels
from saliency_callbacks.probe.labels.columns import LabelColumn
from saliency_callbacks.probe.labels.delivered import DeliveredLabels
from saliency_callbacks.probe.reading import Collate, batch_collate, more_items

__all__ = ["finds_several", "shows_several", "tells_several"]


def finds_several(
    column: LabelColumn,
    columns_of: Callable[[Any], tuple[LabelColumn, ...]],
    dataset: Any,
    collate_fn: Collate | None = None,
    candidates: Sequence[int] | None = None,
    *,
    size: int,
    seed: int,
    indices: Sequence[int] | None = None,
    batched: bool = True,
) -> bool:
    """Return whether samples of a dataset can have several labels, although each of the probe's has one.

    The labels that the dataset tells of decide; where it tells of none, up to ``16 * size`` of its items do. Where all
    of these have one as well, that is taken for the rule.

    Args:
        column: The probe's labels.
        columns_of: Returns what could be the labels of a batch.
        dataset: The dataloader's dataset.
        collate_fn: The dataloader's.
        candidates: Look at these positions of a map-style dataset only.
        size: Number of samples of the probe.
        seed: Decides which items are looked at.
        indices: Positions of the probe's samples in the dataset.
        batched: Whether items are samples; else they are batches already.
    """
    if column.one_hot is None:
        return False
    with preserved(dataset, collate_fn):
        told = tells_several(dataset, column, indices)
        if told is not None:
            return told
        try:
            with more_items(dataset, size, seed, candidates) as items:
                if not batched:
                    return shows_several(map(collate_fn or default_convert, items), column, columns_of)
                delivered = DeliveredLabels(batch_collate(collate_fn), columns_of)
                return shows_several(([item] for item in items), column, delivered.columns)
        except Exception:
            # An item that the probe does not need may be broken.
            return False


def tells_several(dataset: Any, column: LabelColumn, indices: Sequence[int] | None) -> bool | None:
    """Return whether a dataset's own labels say that its items can have several; ``None`` where they do not tell.

    Args:
        dataset: A map-style dataset.
        column: Labels that were read of one-hot rows.
        indices: Positions of their samples in the dataset.
    """
    if indices is None or column.one_hot is None:
        return None
    positions = torch.as_tensor(list(indices), device="cpu")
    rows = dataset_label_sets(dataset)
    if rows is not None and _at(rows, positions, column.one_hot):
        return True
    classes = dataset_labels(dataset)
    return False if classes is not None and _at(classes, positions, column.labels) else None


def shows_several(
    batches: Iterable[Any], column: LabelColumn, columns_of: Callable[[Any], Sequence[LabelColumn]]
) -> bool:
    """Return whether there is a sample with several labels, or none, in other batches of the same data.

    Args:
        batches: Are read until one shows it.
        column: Labels that were read of one-hot rows.
        columns_of: Returns what could be the labels of a batch.
    """
    if column.one_hot is None:
        return False
    n_classes = column.one_hot.shape[1]
    for batch in batches:
        columns = columns_of(batch)
        # A transfer hook may have brought the labels to another place.
        same = [each for each in columns if each.path == column.path] or columns
        if any(each.labels.ndim == 2 and each.labels.shape[1] == n_classes for each in same):
            return True
    return False


def _at(known: Tensor, positions: Tensor, labels: Tensor) -> bool:
    return int(positions.max()) < len(known) and torch.equal(known[positions], labels.cpu())
