"""Which positions are removed in which order: that of a map, and that of the same map somewhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import Self

from saliency_callbacks.engine.explanation import Unscaled
from saliency_callbacks.engine.removal import Removal
from saliency_callbacks.functional.counted import degenerate_counted
from saliency_callbacks.functional.faithfulness.orders import count_removed, elsewhere, removal_order
from saliency_callbacks.functional.maps import degenerate

__all__ = ["Chance", "Orders", "Part"]


class Part(NamedTuple):
    """What is done with an order.

    Args:
        is_by_chance: Whether it is that of the map somewhere else.
        is_shown: Whether its first positions are shown alone; else they are removed.
    """

    is_by_chance: bool
    is_shown: bool


@dataclass(frozen=True, eq=False)
class Chance:
    """What is drawn for each sample, the same at every test, for all methods, and in any company of other samples.

    Args:
        shuffled: Positions in a random order, which decides between those where a map is equal, ``[M, P]``.
        place: Where the map goes, as numbers in [0, 1), ``[M, 1 + spatial dimensions]``.
    """

    shuffled: Tensor
    place: Tensor

    @classmethod
    def of(cls, maps: Mapping[str, Unscaled], n_samples: int, own: range, seed: int) -> Self:
        """Draw those of the samples ``own`` of all, for samples like those of ``maps``."""
        first = next(iter(maps.values()))
        device = first.magnitude.device

        def drawn(number: int, *shape: int) -> Tensor:
            generator = torch.Generator().manual_seed((seed + number) % 2**63)
            return torch.rand((n_samples, *shape), generator=generator)[own.start : own.stop].to(device)

        return cls(drawn(0, *first.size).flatten(1).argsort(dim=1), drawn(1, 1 + len(first.size)))


@dataclass(frozen=True, eq=False)
class Orders:
    """The order of the positions in a method's maps, by what people see: their magnitude.

    Args:
        turns: ``[M, P]``.
        by_chance: Of the same maps somewhere else.
        is_degenerate: Whether a map has no order, as it is constant or not finite, bool ``[M]``.
    """

    turns: Tensor
    by_chance: Tensor
    is_degenerate: Tensor

    @classmethod
    def of(cls, found: Unscaled, chance: Chance) -> Self:
        """Return the orders of a method's maps."""
        maps, counted = found.magnitude, found.counted
        turns = removal_order(maps, counted, shuffled=chance.shuffled)
        return cls(
            turns=turns,
            by_chance=elsewhere(turns, found.size, chance.place, counted),
            is_degenerate=degenerate(maps) if counted is None else degenerate_counted(maps, counted),
        )

    def removals(self, shares: Sequence[float]) -> dict[Part, list[Removal]]:
        """Return what is removed at each share: the first positions, or all others, here and somewhere else."""
        return {
            Part(is_by_chance=turns is self.by_chance, is_shown=remove is _all_but_first): [
                partial(remove, turns, count_removed(turns, share)) for share in shares
            ]
            for turns in (self.turns, self.by_chance)
            for remove in (_first, _all_but_first)
        }


def _first(turns: Tensor, count: Tensor, places: Tensor) -> Tensor:
    return turns[places] < count[places, None]


def _all_but_first(turns: Tensor, count: Tensor, places: Tensor) -> Tensor:
    rows = turns[places]
    return (rows >= count[places, None]) & (rows < rows.shape[1])
