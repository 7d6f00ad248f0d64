"""Which items of a map-style dataset become the probe: deterministic, and independent of global RNG."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.probe.labels import dataset_labels
from saliency_callbacks.probe.sampling import random_sample, stratified
from saliency_callbacks.probe.traversal import length as length_of

__all__ = ["SCAN_FACTOR", "check_range", "fit_size", "positions_of", "scan_labels", "select_indices"]

SCAN_FACTOR = 16
"""At most this many items are read for each probe sample where labels can be found only by reading."""


def select_indices(
    dataset: Any,
    size: int,
    *,
    stratify: bool,
    seed: int,
    read_label: Callable[[Any], int | None],
    candidates: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Choose ``size`` items of a map-style dataset.

    Args:
        dataset: Has ``__len__`` and ``__getitem__``. It is read only where ``stratify`` is asked for and no
            attribute holds the labels; then at ``16 * size`` seeded random positions at most. Reading may
            draw random numbers (augmentation): the caller isolates and seeds global RNG.
        size: Number of items. All items, in their own order, where the dataset has no more than that.
        stratify: Choose equally many items of each class; a random sample where there are no classes.
        seed: Decides the choice, together with the labels.
        read_label: Label of an item, ``None`` where it has none.
        candidates: Positions to choose from; all by default.

    Returns:
        Indices in an order of which every prefix is balanced (``stratify``) or random as well.

    Raises:
        ProbeError: The dataset is empty.

    Warns:
        SaliencyWarning: The dataset has fewer than ``size`` items.
    """
    positions = positions_of(dataset, candidates)
    length = len(positions)
    size = fit_size(size, length)
    if size == length:
        return tuple(positions)
    if not stratify:
        return tuple(positions[rank] for rank in random_sample(length, size, seed))
    labels = dataset_labels(dataset)
    if labels is not None:
        if candidates is not None:
            labels = labels[torch.as_tensor(positions, device="cpu")]
        return tuple(positions[rank] for rank in stratified(labels, size, seed))
    drawn = [positions[rank] for rank in random_sample(length, min(length, SCAN_FACTOR * size), seed)]
    scanned = scan_labels((dataset[index] for index in drawn), read_label)
    if scanned is None:
        return tuple(drawn[:size])
    return tuple(drawn[rank] for rank in stratified(scanned, size, seed))


def positions_of(dataset: Any, candidates: Sequence[int] | None) -> Sequence[int]:
    """Return the positions of a map-style dataset, or those ``candidates`` that it has.

    Raises:
        ProbeError: The length of the dataset is needed, and cannot be read.
    """
    length = length_of(dataset)
    if candidates is not None:
        return [index for index in candidates if index >= 0 and (length is None or index < length)]
    if length is None:
        raise ProbeError(
            f"The length of {type(dataset).__name__} cannot be read, so no samples can be chosen from it. Let "
            "len(dataset) return it, or give the samples themselves with Probe.from_tensors(...)."
        )
    return range(length)


def scan_labels(items: Iterable[Any], read_label: Callable[[Any], int | None]) -> list[int] | None:
    """Read the label of each item; ``None``, without reading on, at the first item that has none."""
    labels: list[int] = []
    for item in items:
        label = read_label(item)
        if label is None:
            return None
        labels.append(label)
    return labels


def fit_size(size: int, available: int) -> int:
    """Return ``size``, or ``available`` with a warning where that is less; an empty dataset is an error."""
    if not available:
        raise ProbeError(
            "The dataset of the probe is empty, at least one item was expected. Give a dataset with items, "
            "another Probe(source=...), or the samples themselves with Probe.from_tensors(...)."
        )
    if available < size:
        message = f"The probe has {available} samples instead of {size}: its dataset has no more than {available}."
        warnings.warn(message, SaliencyWarning, stacklevel=2)
    return min(size, available)


def check_range(indices: Sequence[int], length: int) -> None:
    """Raise ``ProbeError`` unless every index is in ``[0, length)``."""
    outside = [index for index in indices if not 0 <= index < length]
    if outside:
        raise ProbeError(
            f"Probe(indices=...) names {outside[:5]}, but the dataset has {length} items, so indices from 0 to "
            f"{length - 1} were expected. Remove them, or choose another dataset with Probe(source=...)."
        )
