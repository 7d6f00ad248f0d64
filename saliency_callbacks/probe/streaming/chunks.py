"""Reading thousands of items a few at a time, by workers of one's own, without a trace in dataset or random numbers."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.introspection import attribute
from saliency_callbacks.probe.reading import Collate, as_if_not_read, batch_collate, collate_items

__all__ = ["Chunk", "read_chunks"]


class Chunk(NamedTuple):
    """A few samples, as a dataloader would deliver them.

    Args:
        batch: Their batch; ``None`` where none could be read.
        positions: Their positions in the dataset.
        unreadable: Position → what the dataset raised, of those that could not be read.
    """

    batch: Any
    positions: tuple[int, ...]
    unreadable: dict[int, str]


def read_chunks(loader: Any, positions: Sequence[int], n_rows: int, seed: int) -> Generator[Chunk]:
    """Yield the items at some positions of a dataset, ``n_rows`` at a time.

    The user's dataloader is not iterated: another one reads, with as many workers. What reading draws is seeded by the
    position of each item, so that an item is the same at every observation, whoever reads it. An item that cannot be
    read is left out.

    Args:
        loader: The dataloader whose dataset, collate function and workers are used. Its dataset is map-style.
        positions: What is read.
        n_rows: Most items of a chunk.
        seed: Decides what random transforms do.

    Raises:
        CollateError: The items of a chunk do not make a batch.
    """
    numbers = [tuple(positions[first : first + n_rows]) for first in range(0, len(positions), n_rows)]
    chunks = _Chunks(loader.dataset, batch_collate(attribute(loader, "collate_fn")), numbers, seed)
    n_workers = min(attribute(loader, "num_workers") or 0, len(chunks))
    yield from _by_workers(chunks, loader, n_workers) if n_workers else map(chunks.__getitem__, range(len(chunks)))


class _Chunks(Dataset[Chunk]):
    """A dataset of chunks of another."""

    def __init__(self, dataset: Any, collate: Collate, positions: Sequence[tuple[int, ...]], seed: int) -> None:
        self.dataset, self.collate, self.positions, self.seed = dataset, collate, positions, seed

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: int) -> Chunk:
        items, unreadable = {}, {}
        with as_if_not_read(self.dataset), preserved(self.collate):
            for position in self.positions[number]:
                _seed_reading(f"{self.seed}/{position}")
                try:
                    items[position] = self.dataset[position]
                except Exception as error:
                    unreadable[position] = f"{type(error).__name__}: {error}"
            batch = collate_items(list(items.values()), self.collate) if items else None
        return Chunk(batch, tuple(items), unreadable)


def _by_workers(chunks: _Chunks, loader: Any, n_workers: int) -> Iterator[Chunk]:
    with warnings.catch_warnings():
        # Whoever chose so many workers was told before.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        own = DataLoader(
            chunks,
            batch_size=None,
            num_workers=n_workers,
            collate_fn=_unchanged,
            worker_init_fn=attribute(loader, "worker_init_fn"),
            multiprocessing_context=attribute(loader, "multiprocessing_context"),
            timeout=attribute(loader, "timeout") or 0,
            # Without one, its iterator would draw from the training's random numbers.
            generator=torch.Generator(),
        )
    yield from own


def _unchanged(chunk: Any) -> Any:
    return chunk


def _seed_reading(purpose: str) -> None:
    """Seed the generators of the CPU; that of another device would be left changed."""
    number = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big")
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 (what transforms draw from)
    torch.default_generator.manual_seed(number)
