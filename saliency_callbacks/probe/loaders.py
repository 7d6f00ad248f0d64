"""What a dataloader tells about its samples without being iterated."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from saliency_callbacks.probe.introspection import attribute

__all__ = ["candidate_indices", "is_batched"]


def candidate_indices(loader: Any) -> Sequence[int] | None:
    """Return the positions of the dataset that a loader's sampler is limited to.

    Reads ``indices`` of ``loader.batch_sampler.sampler`` or ``loader.sampler``, as ``SubsetRandomSampler`` has them,
    also where Lightning has wrapped the sampler for distributed runs. No sampler is iterated: that would draw from the
    training's random numbers.

    Args:
        loader: A dataloader, or ``None``.

    Returns:
        Distinct positions in ascending order; ``None`` where the sampler has no such list of integers.
    """
    for sampler in _samplers(loader):
        # Such a sampler's list is the share of one rank, and the probe is the same on every rank.
        if attribute(sampler, "num_replicas") is not None:
            continue
        positions = _integers(attribute(sampler, "indices"))
        if positions:
            return sorted(set(positions))
    return None


def is_batched(loader: Any) -> bool:
    """Whether a loader makes batches of single items; ``False`` where its dataset delivers whole batches.

    With ``batch_size=None`` the items are batches already, unless the sampler delivers lists of positions.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.sampler, BatchSampler):
        return True
    return loader.batch_size is not None or loader.batch_sampler is not None


def _samplers(loader: Any) -> Iterator[Any]:
    # With a batch sampler of one's own, `loader.sampler` is a default that is never used.
    direct = attribute(loader, "sampler")
    for sampler in (attribute(attribute(loader, "batch_sampler"), "sampler"), attribute(direct, "sampler"), direct):
        if sampler is not None:
            yield sampler
            wrapped = attribute(attribute(sampler, "dataset"), "_sampler")
            if wrapped is not None:
                yield wrapped


def _integers(values: Any) -> list[int] | None:
    if isinstance(values, str) or not isinstance(values, Sequence | Tensor | np.ndarray):
        return None
    try:
        return [operator.index(value) for value in values]
    except Exception:
        return None
