"""In which order the positions of a sample are removed: by a map, or by the same map somewhere else.

An order ``int64 [N, P]`` holds the turn of each position: 0 is removed first. Positions that do not count (padding)
have the turn P and are never removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

__all__ = ["count_removed", "elsewhere", "is_divided", "removal_order"]


def removal_order(maps: Tensor, counted: Tensor | None = None, *, shuffled: Tensor | None = None) -> Tensor:
    """Return the turn of each position, the largest value first.

    Args:
        maps: ``[N, ...]``; a NaN counts as the smallest value.
        counted: Which positions may be removed, bool of the same shape; ``None`` for all.
        shuffled: All positions in a random order, ``int64 [N, P]``: of equal values the first in it is removed first.
            ``None`` for their order in the map. Wherever a map is zero, that order is from left to right, which is
            anything but random.

    Returns:
        ``int64 [N, P]``; P at positions that are not counted.

    Example:
        >>> removal_order(torch.tensor([[0.1, 0.9, 0.5]]))
        tensor([[2, 0, 1]])
        >>> removal_order(torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([[True, False, True]]))
        tensor([[1, 3, 0]])
    """
    flat = torch.nan_to_num(maps.flatten(1), nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    values = flat if shuffled is None else flat.gather(1, shuffled)
    places = values.argsort(dim=1, descending=True, stable=True)
    if shuffled is not None:
        places = shuffled.gather(1, places)
    if counted is None:
        return _turns(places)
    within = counted.flatten(1)
    places = places.gather(1, _first_where(within.gather(1, places)))
    return _turns(places).masked_fill(~within, flat.shape[1])


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


def is_divided(order: Tensor, shares: Sequence[float]) -> Tensor:
    """Tell which samples lose some of their positions at one share at least, but not all, bool ``[N]``.

    Others tell nothing of an order: of two positions, a quarter is none of them and three quarters are both.

    Example:
        >>> is_divided(torch.tensor([[0, 1, 3], [0, 1, 2]]), [0.25, 0.75])
        tensor([False,  True])
    """
    n_counted = (order < order.shape[1]).sum(dim=1)
    counts = torch.stack([count_removed(order, share) for share in shares])
    return ((counts > 0) & (counts < n_counted)).any(dim=0)


def elsewhere(order: Tensor, size: Sequence[int], drawn: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the orders of the same maps somewhere else, which know as little of the sample as a map can.

    Each map goes on as its own mirror image beyond every side, and is cropped at a random place of that. So it keeps
    its grain, however smooth, sharp or sparse it is, and has no edge that it did not have; moved around a torus, it
    would have one where opposite sides meet. Each of its positions is as likely as any other to come to a place.

    One of the crops is the map's own place, where about one signal in 2·length stays, and 1.6% of maps of 4×4. This
    pulls the gains of very short signals towards 0. Words always move, if there are two or more.

    Args:
        order: ``[N, P]``.
        size: Spatial size, with P positions.
        drawn: Random numbers in [0, 1) that decide, one for each axis, ``[N, len(size)]``.
        counted: Which positions count, bool ``[N, ...]``; ``None`` for all. Where it is given, the turns of those that
            count are moved along them, and what leaves at one end comes in at the other.

    Returns:
        ``int64 [N, P]``; twins follow each other.

    Example:
        >>> order = torch.tensor([[0, 1, 2, 3]])
        >>> elsewhere(order, (4,), torch.tensor([[0.25]]))  # of 2 3 3 2
        tensor([[0, 2, 3, 1]])
        >>> elsewhere(order, (4,), torch.tensor([[0.5]]))
        tensor([[3, 2, 1, 0]])
    """
    if counted is not None:
        return _moved_along(order, counted.flatten(1), drawn[:, 0])
    source = torch.zeros_like(order).reshape(-1, *size)
    for axis, length in enumerate(size):
        place = torch.arange(length, device=order.device) + (drawn[:, axis, None] * 2 * length).long()
        place = place % (2 * length)
        place = torch.minimum(place, 2 * length - 1 - place)
        along = [length if one == axis else 1 for one in range(len(size))]
        source += prod(size[axis + 1 :]) * place.reshape(-1, *along)
    return _turns(order.gather(1, source.flatten(1)).argsort(dim=1, stable=True))


def _moved_along(order: Tensor, within: Tensor, drawn: Tensor) -> Tensor:
    n_counted = within.sum(dim=1)
    places = _first_where(within)
    number = torch.arange(order.shape[1], device=order.device).expand_as(order)
    moved = (number + _offset(drawn, n_counted)[:, None]) % n_counted.clamp(min=1)[:, None]
    source = places.gather(1, torch.where(number < n_counted[:, None], moved, number))
    return torch.empty_like(order).scatter_(1, places, order.gather(1, source))


def _offset(drawn: Tensor, count: Tensor) -> Tensor:
    """Return an offset in [1, count), so that nothing stays where it is; 0 where there is one position or none."""
    return (1 + (drawn * (count - 1)).long()).clamp(max=count - 1).clamp(min=0)


def _first_where(within: Tensor) -> Tensor:
    """Return all positions, those that are within first."""
    return within.to(torch.uint8).argsort(dim=1, descending=True, stable=True)


def _turns(places: Tensor) -> Tensor:
    numbers = torch.arange(places.shape[1], device=places.device).expand_as(places)
    return torch.empty_like(places).scatter_(1, places, numbers)
