"""The probe of an iterable dataset: read from a copy, so that the user's own object never moves on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from torch.utils.data import IterableDataset

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.introspection import attribute
from saliency_callbacks.probe.selection import (
    SCAN_FACTOR,
    check_range,
    fit_size,
    random_sample,
    scan_labels,
    stratified,
)

__all__ = ["is_map_style", "iterate_copy", "read_stream", "select_from_stream"]

_FIX = "Give the samples themselves with Probe.from_tensors(…)"


def is_map_style(dataset: Any) -> bool:
    """Whether items can be read by index: ``__getitem__`` and ``__len__``, and not an ``IterableDataset``."""
    if isinstance(dataset, IterableDataset):
        return False
    return attribute(dataset, "__getitem__") is not None and attribute(dataset, "__len__") is not None


def read_stream(dataset: Any, indices: Sequence[int]) -> list[Any]:
    """Return the items at the given positions of a copy of ``dataset``, in the order of ``indices``.

    Raises:
        ProbeError: The dataset cannot be copied or iterated, or ends before the last position.
    """
    wanted = set(indices)
    kept: dict[int, Any] = {}
    length = 0
    for position, item in enumerate(islice(iterate_copy(dataset), max(indices) + 1)):
        length = position + 1
        if position in wanted:
            kept[position] = item
    check_range(indices, length)
    return [kept[index] for index in indices]


def select_from_stream(
    dataset: Any, size: int, *, stratify: bool, seed: int, read_label: Callable[[Any], int | None]
) -> tuple[list[Any], tuple[int, ...]]:
    """Choose ``size`` of the first ``16 * size`` items of a copy of ``dataset``; it may be endless.

    Args:
        dataset: Has ``__iter__``. Reading may draw random numbers: the caller isolates and seeds global RNG.
        size: Number of items; all where the stream has no more.
        stratify: As in :func:`~saliency_callbacks.probe.selection.select_indices`.
        seed: Decides the choice, together with the labels.
        read_label: Label of an item, ``None`` where it has none.

    Returns:
        The items and their positions in the stream.

    Raises:
        ProbeError: The dataset cannot be copied or iterated, or is empty.

    Warns:
        SaliencyWarning: The stream has fewer than ``size`` items.
    """
    items = list(islice(iterate_copy(dataset), SCAN_FACTOR * size))
    size = fit_size(size, len(items))
    labels = scan_labels(items, read_label) if stratify else None
    if size == len(items):
        positions = tuple(range(size))
    elif labels is None:
        positions = random_sample(len(items), size, seed)
    else:
        positions = stratified(labels, size, seed)
    return [items[position] for position in positions], positions


def iterate_copy(dataset: Any) -> Iterator[Any]:
    """Return an iterator over a copy of ``dataset``; raise ``ProbeError`` where it cannot be copied or iterated."""
    name = type(dataset).__name__
    if attribute(dataset, "__iter__") is None:
        raise ProbeError(
            f"no probe can be read from {name}; expected a dataset with __len__ and __getitem__, or with __iter__. "
            f"{_FIX}"
        )
    try:
        duplicate = copy.deepcopy(dataset)
    except Exception as error:
        raise ProbeError(
            f"the iterable dataset {name} cannot be copied ({type(error).__name__}: {error}), and reading the probe "
            f"from the original would consume training samples. {_FIX}"
        ) from error
    if duplicate is dataset:
        raise ProbeError(
            f"copying the iterable dataset {name} returned the same object, and reading the probe from it would "
            f"consume training samples. {_FIX}"
        )
    return iter(duplicate)
