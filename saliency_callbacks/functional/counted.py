"""Maps of which only some positions count: the words of a text input, not its padding.

Positions that do not count change nothing about those that do, however many there are.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from saliency_callbacks.functional.maps import degenerate
from saliency_callbacks.functional.sorting import ascending

__all__ = ["degenerate_counted", "filled", "normalize_counted"]


def filled(values: Tensor, counted: Tensor) -> Tensor:
    """Replace what does not count by a value of the same sample that does; a sample without any becomes 0.

    Minima, maxima and whether a sample is constant are then those of the positions that count.

    Args:
        values: ``[N, ...]``.
        counted: Bool, expands to ``values``.

    Example:
        >>> filled(torch.tensor([[1.0, 5.0, 9.0]]), torch.tensor([[False, True, False]]))
        tensor([[5., 5., 5.]])
    """
    where = counted.expand_as(values).flatten(1)
    flat = values.flatten(1)
    first = flat.gather(1, where.int().argmax(dim=1, keepdim=True)).masked_fill(~where.any(dim=1, keepdim=True), 0)
    return torch.where(where, flat, first).reshape(values.shape)


def normalize_counted(maps: Tensor, counted: Tensor, q: float = 0.99) -> Tensor:
    """Do what ``normalize`` does with the positions that count alone; the others are 0.

    Args:
        maps: Non-negative maps ``[N, *spatial]``.
        counted: Bool, the same shape.
        q: Fraction in [0, 1] of the values below the clip.

    Returns:
        ``[N, *spatial]`` in [0, 1], never NaN.

    Example:
        >>> normalize_counted(torch.tensor([[8.0, 1.0, 2.0]]), torch.tensor([[False, True, True]]))
        tensor([[0.0000, 0.5000, 1.0000]])
    """
    flat, where = maps.flatten(1), counted.flatten(1)
    # The decimal as written, as in `percentile`.
    fraction = Fraction(str(float(q)))
    ranks = [max(1, math.ceil(fraction * count)) for count in where.sum(dim=1).tolist()]
    places = torch.tensor(ranks, device=maps.device)[:, None] - 1
    clip = ascending(flat.masked_fill(~where, torch.inf)).gather(1, places)
    inside = filled(flat, where)
    peak = inside.amax(dim=1, keepdim=True)
    scale = torch.where(clip > 0, clip, peak)
    drawable = inside.isfinite().all(dim=1, keepdim=True) & (peak > 0) & where
    return (flat / scale).clamp(0, 1).masked_fill(~drawable, 0).reshape(maps.shape)


def degenerate_counted(maps: Tensor, counted: Tensor) -> Tensor:
    """Tell which maps ``[N, *spatial]`` explain nothing where they count, bool ``[N]``.

    They are constant or not finite there, as of ``degenerate``; a single position that is not 0 is not constant.
    """
    where = counted.flatten(1)
    inside = filled(maps.flatten(1), where)
    single = (where.sum(dim=1) == 1) & inside.isfinite().all(dim=1) & (inside.amax(dim=1) != 0)
    return degenerate(inside) & ~single
