"""Which items of a dataset a probe takes: at random or balanced over classes, seeded apart from the global state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import ItemError, ProbeError, warn
from saliency_callbacks.probe.introspection import length as length_of
from saliency_callbacks.probe.labels.classes import dataset_labels

__all__ = [
    "SCAN_FACTOR",
    "check_range",
    "fit_size",
    "positions_of",
    "random_sample",
    "scan_labels",
    "select_indices",
    "stratified",
]

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
    by_attributes: bool = True,
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
        by_attributes: Whether labels that an attribute holds count; otherwise they are read.

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
    labels = dataset_labels(dataset) if by_attributes else None
    if labels is not None:
        if candidates is not None:
            labels = labels[torch.as_tensor(positions, device="cpu")]
        return tuple(positions[rank] for rank in stratified(labels, size, seed))
    drawn = [positions[rank] for rank in random_sample(length, min(length, SCAN_FACTOR * size), seed)]
    read: list[int] = []
    scanned = scan_labels(_readable(dataset, drawn, read), read_label)
    if not scanned:
        return tuple(drawn[:size])
    return tuple(read[rank] for rank in stratified(scanned, size, seed))


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
            f"the length of {type(dataset).__name__} cannot be read, so no samples can be chosen from it. Let "
            "len(dataset) return it, or give the samples themselves with Probe.from_tensors(…)"
        )
    return range(length)


def _readable(dataset: Any, positions: Iterable[int], read: list[int]) -> Iterator[Any]:
    """Yield items of a dataset, and note in ``read`` where they are; those that a view names as broken are left out.

    Only a :class:`~saliency_callbacks.probe.streaming.items.NamedItems` does so; a dataset's own error is raised.
    """
    for position in positions:
        try:
            item = dataset[position]
        except ItemError:
            continue
        read.append(position)
        yield item


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
            "the probe's dataset is empty; expected at least one item. Give a dataset with items, another "
            "Probe(source=…), or the samples themselves with Probe.from_tensors(…)"
        )
    if available < size:
        message = f"the probe has {counted(available, 'sample')} instead of {size}, because its dataset has no more"
        warn("size of the probe", message)
    return min(size, available)


def check_range(indices: Sequence[int], length: int) -> None:
    """Raise ``ProbeError`` unless every index is in ``[0, length)``."""
    outside = [index for index in indices if not 0 <= index < length]
    if outside:
        raise ProbeError(
            f"Probe(indices=…) contains {outside[:5]}, but the dataset has {counted(length, 'item')}; expected "
            f"indices from 0 to {length - 1}. Remove them, or choose another dataset with Probe(source=…)"
        )


def stratified(labels: Tensor | Sequence[int], size: int, seed: int) -> tuple[int, ...]:
    """Choose a class-balanced sample of positions.

    The numbers chosen of any two classes differ by at most one, except where a class has too few items:
    it then gives all it has. Which classes give one more, and which items a class gives, is drawn from
    ``seed``.

    Args:
        labels: One class a position, ``[N]``.
        size: Number of positions; all of them where there are no more.
        seed: Decides the draw.

    Returns:
        Distinct positions, one of each class in turn and classes in ascending order (``0, 1, 2, 0, 1, 2``):
        each prefix shows as many classes as it can. Positions of one class ascend.
    """
    generator = Generator(device="cpu").manual_seed(seed)
    classes, inverse, counts = torch.unique(
        torch.as_tensor(labels, device="cpu"), return_inverse=True, return_counts=True
    )
    quotas = _quotas(counts.tolist(), size, torch.randperm(len(classes), generator=generator, device="cpu").tolist())
    members = torch.argsort(inverse, stable=True)
    starts = (counts.cumsum(0) - counts).tolist()
    turns: list[tuple[int, int, int]] = []
    for rank, (quota, start, count) in enumerate(zip(quotas, starts, counts.tolist(), strict=True)):
        if quota:
            drawn = members[start + torch.randperm(count, generator=generator, device="cpu")[:quota]]
            turns.extend((turn, rank, position) for turn, position in enumerate(sorted(drawn.tolist())))
    return tuple(position for _, _, position in sorted(turns))


def _quotas(counts: list[int], size: int, order: list[int]) -> list[int]:
    """Share ``size`` out one by one, in rounds over the classes in ``order``, to those that have items left."""
    quotas = [0] * len(counts)
    left = min(size, sum(counts))
    while left:
        open_classes = [index for index in order if quotas[index] < counts[index]]
        for index in open_classes[:left]:
            quotas[index] += 1
        left -= min(left, len(open_classes))
    return quotas


def random_sample(length: int, size: int, seed: int) -> tuple[int, ...]:
    """Choose ``size`` distinct positions below ``length``, in the order drawn."""
    generator = Generator(device="cpu").manual_seed(seed)
    if length <= 4 * size:
        return tuple(torch.randperm(length, generator=generator, device="cpu")[:size].tolist())
    # A permutation of a very long dataset would not fit into memory.
    drawn: dict[int, None] = {}
    while len(drawn) < size:
        drawn.update(dict.fromkeys(torch.randint(length, (size,), generator=generator, device="cpu").tolist()))
    return tuple(drawn)[:size]
