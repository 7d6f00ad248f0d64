"""Which positions are removed in which order: that of a map, and random ones that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from typing_extensions import Self

from saliency_callbacks.engine.explanation import Unscaled
from saliency_callbacks.engine.removal import Removal
from saliency_callbacks.functional.counted import degenerate_counted
from saliency_callbacks.functional.faithfulness.orders import count_removed, random_maps, removal_order, smoothness
from saliency_callbacks.functional.maps import degenerate

__all__ = ["ByChance", "Orders"]

_CELLS = 7
"""Along a side: the cells of a class activation map of many networks, and regions of a digit or an object's parts."""


@dataclass(frozen=True, eq=False)
class ByChance:
    """Random orders, the same at every test.

    A smooth map removes whole regions, which can be restored less from what is left around them than single positions.
    So there are two: of single positions, and of regions. A map is compared with a mixture that is as smooth.

    Args:
        fine: Turns of single positions, ``[M, P]``.
        coarse: Turns of regions.
        smoothness: Of the latter, ``[M]``.
        ties: What decides between positions where a map is equal, ``[M, P]``.
    """

    fine: Tensor
    coarse: Tensor
    smoothness: Tensor
    ties: Tensor

    @classmethod
    def of(cls, maps: Mapping[str, Unscaled], n_samples: int, own: range, seed: int) -> Self:
        """Draw those of the samples ``own`` of all, for samples like those of ``maps``."""
        first = next(iter(maps.values()))
        device = first.magnitude.device

        def drawn(number: int, cells: int | None = None) -> Tensor:
            values = random_maps(n_samples, first.size, cells=cells, seed=(seed + number) % 2**63)
            return values[own.start : own.stop].to(device)

        fine, coarse = (removal_order(values, first.counted) for values in (drawn(0), drawn(1, _CELLS)))
        return cls(fine, coarse, smoothness(coarse, first.size), drawn(2))

    @staticmethod
    def shares(asked: Sequence[float]) -> tuple[float, ...]:
        """Return the shares at which random orders are removed: those asked for, and what these leave."""
        return tuple(sorted({round(share, 6) for share in asked} | {round(1 - share, 6) for share in asked}))

    def removals(self, asked: Sequence[float]) -> list[Removal]:
        """Return the removals of single positions at each share, then those of regions."""
        shares = self.shares(asked)
        return [partial(_first, order, count_removed(order, q)) for order in (self.fine, self.coarse) for q in shares]


@dataclass(frozen=True, eq=False)
class Orders:
    """The order of the positions in a method's maps, by what people see: their magnitude.

    Args:
        turns: ``[M, P]``.
        is_degenerate: Whether a map has no order, as it is constant or not finite, bool ``[M]``.
        coarseness: How much of the random order of regions a random order needs to be as smooth, ``[M]`` in [0, 1].
    """

    turns: Tensor
    is_degenerate: Tensor
    coarseness: Tensor

    @classmethod
    def of(cls, found: Unscaled, by_chance: ByChance) -> Self:
        """Return the orders of a method's maps."""
        maps, counted = found.magnitude, found.counted
        turns = removal_order(maps, counted, ties=by_chance.ties)
        coarseness = (smoothness(turns, found.size) / by_chance.smoothness).clamp(0, 1)
        return cls(
            turns=turns,
            is_degenerate=degenerate(maps) if counted is None else degenerate_counted(maps, counted),
            # Too few words to have neighbors are words on their own.
            coarseness=torch.nan_to_num(coarseness, nan=0.0),
        )

    def removals(self, shares: Sequence[float]) -> list[Removal]:
        """Return the removals of the first positions at each share, then those of all others."""
        counts = [count_removed(self.turns, share) for share in shares]
        return [
            *(partial(_first, self.turns, count) for count in counts),
            *(partial(_all_but_first, self.turns, count) for count in counts),
        ]


def _first(turns: Tensor, count: Tensor, places: Tensor) -> Tensor:
    return turns[places] < count[places, None]


def _all_but_first(turns: Tensor, count: Tensor, places: Tensor) -> Tensor:
    rows = turns[places]
    return (rows >= count[places, None]) & (rows < rows.shape[1])
