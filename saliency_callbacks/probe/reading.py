"""Reading the chosen items of a dataset, without its dataloader."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate, default_convert

from saliency_callbacks.config.nested import describe
from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import CollateError, ProbeError
from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.probe.prebatched import first_rows
from saliency_callbacks.probe.selection import (
    SCAN_FACTOR,
    check_range,
    positions_of,
    random_sample,
    select_indices,
)
from saliency_callbacks.probe.stream import is_map_style, iterate_copy, read_stream, select_from_stream

__all__ = ["Collate", "as_if_not_read", "batch_collate", "collate_items", "more_items", "read_items", "read_rows"]

Collate = Callable[[list[Any]], Any]


def read_items(
    dataset: Any,
    size: int,
    *,
    indices: tuple[int, ...] | None,
    stratify: bool,
    seed: int,
    read_label: Callable[[Any], int | None],
    delivers: Callable[[list[Any], Tensor], bool] | None = None,
    candidates: Sequence[int] | None = None,
    saved: Sequence[int] | None = None,
) -> tuple[list[Any], tuple[int, ...]]:
    """Read the items at ``indices``, or at ``size`` chosen positions, of a map-style or iterable dataset.

    Items are read one by one with ``dataset[index]``; iterating the user's dataloader would draw from global
    random state and could take samples away from the training. The positions ``saved`` go before a choice, where
    there are ``size`` and the dataset still has them all; ``candidates`` limits the choice from a map-style dataset.
    Where ``delivers`` denies that some items come with the labels that the dataset tells of them, as after a
    ``target_transform``, the choice is made anew by the labels that ``read_label`` reads.

    Returns:
        The items, and their positions in the dataset.

    Raises:
        ProbeError: The dataset is empty, cannot be read, or is shorter than ``indices`` need.

    Warns:
        SaliencyWarning: The dataset has fewer than ``size`` items; all are read.
    """
    _require_dataset(dataset)
    if indices is not None:
        return _read_at(dataset, indices), indices
    if saved is not None and len(saved) == size:
        try:
            return _read_at(dataset, saved), tuple(saved)
        except ProbeError:
            # The dataset has become shorter since; the caller tells by the fingerprint that the probe is another.
            pass
    if not is_map_style(dataset):
        return select_from_stream(dataset, size, stratify=stratify, seed=seed, read_label=read_label)
    choose = partial(
        select_indices, dataset, size, stratify=stratify, seed=seed, read_label=read_label, candidates=candidates
    )
    # What follows is read as at positions of a checkpoint, where nothing was scanned for labels before.
    with as_if_not_read(dataset):
        chosen = choose()
    known = dataset_labels(dataset) if stratify and delivers is not None else None
    if known is None or delivers is None:
        return [dataset[index] for index in chosen], chosen
    states = _random_states()
    with preserved(dataset):
        items = [dataset[index] for index in chosen]
    if delivers(items, known[list(chosen)]):
        return items, chosen
    _restore(states)
    with as_if_not_read(dataset):
        chosen = choose(by_attributes=False)
    return [dataset[index] for index in chosen], chosen


def read_rows(
    dataset: Any,
    size: int,
    convert: Collate,
    candidates: Sequence[int] | None = None,
    indices: Sequence[int] | None = None,
) -> Any:
    """Read ``size`` rows of a dataset whose items are whole batches, the first of the first items.

    Raises:
        ProbeError: The dataset has no rows, or cannot be read; or ``indices`` choose samples, which it does not have.

    Warns:
        SaliencyWarning: There are fewer rows.
    """
    if indices is not None:
        raise ProbeError(
            f"Probe(indices={describe(list(indices))}) chooses single samples, but the dataloader has no batching "
            "(batch_size=None), so its dataset delivers whole batches. Write Probe(size=…), or give the samples "
            "themselves with Probe.from_tensors(…)"
        )
    _require_dataset(dataset)
    batches: Iterable[Any] = (
        (dataset[position] for position in positions_of(dataset, candidates))
        if is_map_style(dataset)
        else iterate_copy(dataset)
    )
    # An endless stream may deliver nothing but empty batches.
    return first_rows(map(convert, islice(batches, SCAN_FACTOR * size)), size)


@contextmanager
def more_items(dataset: Any, size: int, seed: int, candidates: Sequence[int] | None = None) -> Iterator[Iterator[Any]]:
    """Yield up to ``16 * size`` items of a dataset, at seeded random positions, which are read as they are asked for.

    What reading draws from the global random numbers, and what it changes in the dataset, is taken back.

    Args:
        dataset: Map-style; of an iterable one, the first items of a copy.
        size: Number of samples of the probe.
        seed: Decides which items.
        candidates: Positions to choose from; all by default.
    """
    with as_if_not_read(dataset):
        if is_map_style(dataset):
            positions = positions_of(dataset, candidates)
            chosen = random_sample(len(positions), min(len(positions), SCAN_FACTOR * size), seed)
            yield (dataset[positions[rank]] for rank in chosen)
        else:
            yield islice(iterate_copy(dataset), SCAN_FACTOR * size)


def collate_items(items: list[Any], collate: Collate) -> Any:
    """Make a batch of items.

    Raises:
        CollateError: The collate function failed; the message shows the first items.
    """
    try:
        return collate(items)
    except Exception as error:
        raise CollateError(
            f"the probe's {counted(len(items), 'sample')} cannot be collated ({type(error).__name__}: {error}). The "
            f"first are {describe(items[:2])}; expected samples of one shape. Resize them in the dataset, or choose "
            "others with Probe(indices=…)"
        ) from error


@contextmanager
def as_if_not_read(dataset: Any) -> Iterator[None]:
    """Take back what is drawn inside from the global random numbers, and what changes in the dataset."""
    states = _random_states()
    try:
        with preserved(dataset):
            yield
    finally:
        _restore(states)


def _random_states() -> tuple[Any, Any, Tensor]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 (what transforms draw from)


def _restore(states: tuple[Any, Any, Tensor]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


def _read_at(dataset: Any, indices: Sequence[int]) -> list[Any]:
    if not is_map_style(dataset):
        return read_stream(dataset, indices)
    check_range(indices, len(positions_of(dataset, None)))
    return [dataset[index] for index in indices]


def _require_dataset(dataset: Any) -> None:
    if isinstance(dataset, DataLoader):
        raise ProbeError(
            f"the probe cannot be read from a {type(dataset).__name__}; expected its dataset. Call "
            "probe.read(loader.dataset, loader.collate_fn)"
        )


def batch_collate(collate_fn: Collate | None) -> Collate:
    """Return what makes a batch of items, given a dataloader's ``collate_fn``."""
    # A loader without batching converts single items, and would leave a list of several uncollated.
    return default_collate if collate_fn is None or collate_fn is default_convert else collate_fn
