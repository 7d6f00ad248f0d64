"""In which order the positions of a sample are removed: by a map, or at random, and how smooth such an order is.

An order ``int64 [N, P]`` holds the turn of each position: 0 is removed first. Positions that do not count (padding)
have the turn P and are never removed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from saliency_callbacks.functional.precision import widen
from saliency_callbacks.functional.similarity import pearson

__all__ = ["count_removed", "random_maps", "removal_order", "smoothness"]

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def removal_order(maps: Tensor, counted: Tensor | None = None, *, ties: Tensor | None = None) -> Tensor:
    """Return the turn of each position, the largest value first.

    Args:
        maps: ``[N, ...]``; a NaN counts as the smallest value.
        counted: Which positions may be removed, bool of the same shape; ``None`` for all.
        ties: What decides between equal values, the largest first, of the same shape; ``None`` for their order in the
            map. Wherever a map is zero, that order is from left to right, which is anything but random.

    Returns:
        ``int64 [N, P]``; P at positions that are not counted.

    Example:
        >>> removal_order(torch.tensor([[0.1, 0.9, 0.5]]))
        tensor([[2, 0, 1]])
        >>> removal_order(torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([[True, False, True]]))
        tensor([[1, 3, 0]])
    """
    flat = torch.nan_to_num(maps.flatten(1), nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    within = torch.ones_like(flat, dtype=torch.bool) if counted is None else counted.flatten(1)
    # From the last key to the first, each sort keeping what the one before has decided.
    places = torch.arange(flat.shape[1], device=flat.device).expand_as(flat)
    for key in (*(() if ties is None else (ties.flatten(1),)), flat, within.to(torch.uint8)):
        places = places.gather(1, key.gather(1, places).argsort(dim=1, descending=True, stable=True))
    turns = torch.empty_like(places).scatter_(
        1, places, torch.arange(flat.shape[1], device=flat.device).expand_as(flat)
    )
    return turns.masked_fill(~within, flat.shape[1])


def count_removed(order: Tensor, share: float) -> Tensor:
    """Return how many positions are a share of those that count, ``int64 [N]``; shares q and 1 - q add up to all.

    Example:
        >>> order = torch.tensor([[0, 1, 2, 5, 5]])
        >>> count_removed(order, 0.25), count_removed(order, 0.75)
        (tensor([1]), tensor([2]))
    """
    n_counted = (order < order.shape[1]).sum(dim=1)
    if share > 0.5:
        return n_counted - count_removed(order, 1 - share)
    return (n_counted * round(share, 6)).round().long()


def random_maps(n_samples: int, size: Sequence[int], *, cells: int | None = None, seed: int = 0) -> Tensor:
    """Return random maps, whose orders are what the order of a map is compared with.

    Args:
        n_samples: N.
        size: Spatial size.
        cells: How many independent random numbers there are along an axis at most, with what lies between them
            interpolated; never more than one for two positions. ``None`` for one at every position.
        seed: Decides them.

    Returns:
        ``[N, *size]`` in float32, on the CPU.

    Example:
        >>> random_maps(2, (8, 8), cells=4).shape
        torch.Size([2, 8, 8])
    """
    generator = torch.Generator().manual_seed(seed)
    if cells is None:
        return torch.rand((n_samples, *size), generator=generator)
    coarse = [max(2, min(cells, math.ceil(length / 2))) for length in size]
    values = torch.rand((n_samples, 1, *coarse), generator=generator)
    return F.interpolate(values, size=tuple(size), mode=_MODES[len(size)], align_corners=True)[:, 0]


def smoothness(order: Tensor, size: Sequence[int]) -> Tensor:
    """Return how alike the turns of neighbors are: their correlation, over all pairs of neighbors along every axis.

    Args:
        order: ``[N, P]``.
        size: Spatial size, with P positions.

    Returns:
        ``[N]`` in [-1, 1]: about 0 for a random order of single positions, towards 1 where whole regions are removed
        one after the other. NaN where there are too few neighbors to tell.

    Example:
        >>> smoothness(torch.arange(16)[None], (16,)), smoothness(torch.tensor([[0, 3, 1, 4, 2, 5]]), (6,))
        (tensor([1.], dtype=torch.float64), tensor([-0.5000], dtype=torch.float64))
    """
    n_positions = order.shape[1]
    turns = widen(order).masked_fill(order == n_positions, torch.nan).reshape(len(order), *size)
    pairs = [
        (turns.narrow(axis, 0, length - 1).flatten(1), turns.narrow(axis, 1, length - 1).flatten(1))
        for axis, length in enumerate(size, start=1)
    ]
    left, right = (torch.cat(side, dim=1) for side in zip(*pairs, strict=True))
    known = left.isfinite() & right.isfinite()
    if bool(known.all()):
        return _correlation(left, right)
    found = [
        _correlation(one[None, both], other[None, both]) for one, other, both in zip(left, right, known, strict=True)
    ]
    return torch.cat(found)


def _correlation(left: Tensor, right: Tensor) -> Tensor:
    return pearson(left, right) if left.shape[1] else left.new_full((len(left),), torch.nan)
