"""Seeded samples of positions, at random or balanced over classes, independent of global random state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

__all__ = ["random_sample", "stratified"]


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
