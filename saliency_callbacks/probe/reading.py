"""Reading the chosen items of a dataset, without its dataloader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.data import DataLoader

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.description import describe
from saliency_callbacks.probe.selection import check_range, select_indices
from saliency_callbacks.probe.stream import is_map_style, read_stream, select_from_stream

__all__ = ["Collate", "collate_items", "read_items"]

Collate = Callable[[list[Any]], Any]


def read_items(
    dataset: Any,
    size: int,
    *,
    indices: tuple[int, ...] | None,
    stratify: bool,
    seed: int,
    read_label: Callable[[Any], int | None],
) -> tuple[list[Any], tuple[int, ...]]:
    """Read the items at ``indices``, or at ``size`` chosen positions, of a map-style or iterable dataset.

    Items are read one by one with ``dataset[index]``; iterating the user's dataloader would draw from global
    random state and could take samples away from the training.

    Returns:
        The items, and their positions in the dataset.

    Raises:
        ProbeError: The dataset is empty, cannot be read, or is shorter than ``indices`` need.

    Warns:
        SaliencyWarning: The dataset has fewer than ``size`` items; all are read.
    """
    if isinstance(dataset, DataLoader):
        raise ProbeError(
            f"A {type(dataset).__name__} was given to read the probe from, its dataset was expected. Call "
            "probe.read(loader.dataset, loader.collate_fn)."
        )
    if not is_map_style(dataset):
        if indices is not None:
            return read_stream(dataset, indices), indices
        return select_from_stream(dataset, size, stratify=stratify, seed=seed, read_label=read_label)
    if indices is None:
        indices = select_indices(dataset, size, stratify=stratify, seed=seed, read_label=read_label)
    else:
        check_range(indices, len(dataset))
    return [dataset[index] for index in indices], indices


def collate_items(items: list[Any], collate: Collate) -> Any:
    """Make a batch of items.

    Raises:
        ProbeError: The collate function failed; the message shows the first items.
    """
    try:
        return collate(items)
    except Exception as error:
        raise ProbeError(
            f"The {len(items)} samples of the probe do not collate ({type(error).__name__}: {error}). The first are "
            f"{describe(items[:2])}. Samples of one shape were expected: resize them in the dataset, or choose others "
            "with Probe(indices=...)."
        ) from error
