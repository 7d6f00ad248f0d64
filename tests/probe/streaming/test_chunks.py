"""Reading a few items at a time, by workers of one's own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from saliency_callbacks.errors import CollateError
from saliency_callbacks.probe.streaming.chunks import read_chunks


class Noisy(Dataset):
    """Items that draw from every generator, and from one of their own; some are broken."""

    def __init__(self, broken: tuple[int, ...] = (), shape: Callable[[int], int] = lambda index: 2) -> None:
        self.broken, self.shape = broken, shape
        self.generator = torch.Generator().manual_seed(0)
        self.n_read = 0

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        self.n_read += 1
        if index in self.broken:
            raise ValueError(f"no item {index}")
        drawn = random.random() + np.random.rand() + float(torch.rand(()))  # noqa: NPY002
        own = float(torch.rand((), generator=self.generator))
        return torch.full((self.shape(index),), index + drawn / 4 + own / 4)


def _states() -> list[Any]:
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # noqa: NPY002


def test_items_come_in_order_and_broken_ones_are_named() -> None:
    chunks = list(read_chunks(DataLoader(Noisy((3, 4, 5, 11)), 4), range(2, 14), 3, seed=0))
    assert [chunk.positions for chunk in chunks] == [(2,), (6, 7), (8, 9, 10), (12, 13)]
    assert [list(chunk.unreadable) for chunk in chunks] == [[3, 4], [5], [], [11]]
    assert chunks[1].unreadable[5] == "ValueError: no item 5"
    assert [len(chunk.batch) for chunk in chunks] == [1, 2, 3, 2]
    empty = next(read_chunks(DataLoader(Noisy((0, 1)), 4), (0, 1), 2, seed=0))
    assert (empty.batch, empty.positions) == (None, ())


def test_an_item_is_the_same_whoever_reads_it_and_leaves_no_trace() -> None:
    dataset = Noisy()
    before = _states(), dataset.generator.get_state().tolist()

    def read(n_rows: int, **how: Any) -> torch.Tensor:
        chunks = read_chunks(DataLoader(dataset, 4, **how), range(20), n_rows, seed=1)
        return torch.cat([chunk.batch[:, 0] for chunk in chunks])

    alone = read(20)
    assert torch.equal(alone, read(20))
    # A generator of the dataset's own begins anew with each chunk.
    in_chunks = read(4)
    assert torch.equal(in_chunks[:4], alone[:4])
    assert torch.equal(in_chunks, read(4, num_workers=2))
    assert not torch.equal(
        alone, torch.cat([one.batch[:, 0] for one in read_chunks(DataLoader(dataset), range(20), 20, 2)])
    )
    assert (_states(), dataset.generator.get_state().tolist()) == before
    assert dataset.n_read == 0


def test_workers_end_when_nobody_reads_on() -> None:
    loader = DataLoader(Noisy(), 4, num_workers=1)
    reading = read_chunks(loader, range(20), 4, seed=0)
    next(reading)
    processes = torch.multiprocessing.active_children()
    assert processes
    reading.close()
    assert not set(processes) & set(torch.multiprocessing.active_children())


def test_items_of_several_shapes_are_an_error() -> None:
    with pytest.raises(CollateError, match="cannot be collated"):
        list(read_chunks(DataLoader(Noisy(shape=lambda index: index + 1), 4), range(4), 4, seed=0))
