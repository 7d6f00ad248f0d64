"""Which positions are removed in which order: that of a map, and that of the same map somewhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import Self

from saliency_callbacks.engine.explanation import Unscaled
from saliency_callbacks.engine.removal import Removal
from saliency_callbacks.functional.counted import degenerate_counted
from saliency_callbacks.functional.faithfulness.orders import count_removed, elsewhere, is_divided, removal_order
from saliency_callbacks.functional.maps import degenerate

__all__ = ["Chance", "Orders", "Part", "shares_elsewhere"]

Part = Literal["removed", "shown", "elsewhere"]
"""What is done with the first positions: removed, shown alone, or removed where the map is somewhere else."""


def shares_elsewhere(shares: Sequence[float]) -> tuple[float, ...]:
    """Return the shares that are removed where a map is somewhere else, for both removing and showing its first ones.

    To show the first share q of a map that knows nothing is to remove as much as the first 1 - q.

    Example:
        >>> shares_elsewhere([0.25, 0.75]), shares_elsewhere([0.1])
        ((0.25, 0.75), (0.1, 0.9))
    """
    return tuple(sorted({round(one, 6) for share in shares for one in (share, 1 - share)}))


@dataclass(frozen=True, eq=False)
class Chance:
    """What is drawn for each sample, the same at every test, for all methods, and in any company of other samples.

    Args:
        shuffled: Positions in a random order, which decides between those where a map is equal, ``[M, P]``.
        place: Where the map goes, as numbers in [0, 1), ``[M, spatial dimensions]``.
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

        return cls(drawn(0, *first.size).flatten(1).argsort(dim=1), drawn(1, len(first.size)))


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

    def are_untold(self, shares: Sequence[float]) -> Tensor:
        """Tell of which samples these shares say nothing, bool ``[M]``: a map has no order, or too few positions."""
        return self.is_degenerate | ~is_divided(self.turns, shares)

    def removals(self, shares: Sequence[float]) -> dict[Part, list[Removal]]:
        """Return what is removed at each share: the first positions, all others, and the first ones somewhere else."""
        plan: dict[Part, tuple[Callable[..., Tensor], Tensor, Sequence[float]]] = {
            "removed": (_first, self.turns, shares),
            "shown": (_all_but_first, self.turns, shares),
            "elsewhere": (_first, self.by_chance, shares_elsewhere(shares)),
        }
        return {
            part: [partial(remove, turns, count_removed(turns, share)) for share in of_part]
            for part, (remove, turns, of_part) in plan.items()
        }


def _first(turns: Tensor, count: Tensor, places: Tensor) -> Tensor:
    return turns[places] < count[places, None]


def _all_but_first(turns: Tensor, count: Tensor, places: Tensor) -> Tensor:
    rows = turns[places]
    return (rows >= count[places, None]) & (rows < rows.shape[1])
