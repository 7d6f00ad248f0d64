"""Which size of a map follows from which: by pooling, striding, merging of patches, or scaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

__all__ = ["is_pooled_from", "is_scaled", "is_strided", "pooled"]


def is_strided(spatial: Sequence[int], grid: Sequence[int]) -> bool:
    """Whether a grid is reached from another by pooling or striding, by a whole factor of its own for each side."""
    return all(
        any(size in (whole // factor, -(-whole // factor)) for factor in range(1, whole + 1))
        for size, whole in zip(spatial, grid, strict=True)
    )


def is_pooled_from(spatial: tuple[int, ...], known_sizes: Sequence[tuple[int, ...]]) -> bool:
    """Whether a grid is pooled from one of those known."""
    return any(len(grid) == len(spatial) and spatial in pooled(grid) for grid in known_sizes)


@cache
def pooled(grid: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return what is reached from a grid where patches are merged, or queries strided: one factor for all sides.

    The frames of a video may stay as they are. Odd sizes are cut or padded, all of them alike.
    """
    reached = []
    for factor in range(2, max(grid) + 1):
        for depth in (1, factor) if len(grid) == 3 else (factor,):
            factors = (depth, factor, factor)[-len(grid) :]
            reached.append(tuple(-(-size // by) for size, by in zip(grid, factors, strict=True)))
            reached.append(tuple(size // by for size, by in zip(grid, factors, strict=True)))
    return tuple(dict.fromkeys(reached))


def is_scaled(spatial: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether one factor, and rounding, leads from the input's size to that of a map; frames have one of their own."""
    pairs = list(zip(spatial, whole, strict=True))[-2:]
    smallest = max(size / (found + 1) for found, size in pairs)
    largest = min(size / (found - 1) if found > 1 else math.inf for found, size in pairs)
    return smallest < largest and all(found <= size for found, size in zip(spatial, whole, strict=True))
