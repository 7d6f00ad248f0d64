"""The samples that are searched: a third of each class proposes, two thirds count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Samples"]

_PROPOSING_SHARE = 1 / 3


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples, split by a seed into those that propose candidates and those that count them.

    What is counted on the samples that proposed it is chosen by its own count; other samples give an honest one.

    Args:
        inputs: Display images ``[N, C, H, W]`` in [0, 1], or ids of tokens ``[N, T]``.
        labels: ``int64 [N]``.
        ids: A name for each sample.
        class_names: Name of each class; their indices by default.
        seed: Decides the split, and every draw.
        sizes: Height and width of each image as it was stored, before it was resized, ``[N, 2]``; ``None`` where that
            is not known.

    Example:
        >>> samples = Samples(torch.rand(9, 1, 2, 2), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2]), range(9))
        >>> samples.classes, int(samples.proposes.sum())
        ((0, 1, 2), 3)
    """

    inputs: Tensor
    labels: Tensor
    ids: Sequence[object]
    class_names: Sequence[str] | None = None
    seed: int = 0
    sizes: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of samples N."""
        return len(self.labels)

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The classes that have samples, in order."""
        return tuple(self.labels.unique().tolist())

    @cached_property
    def proposes(self) -> Tensor:
        """Which samples propose, bool ``[N]``; all others count."""
        chosen = torch.zeros(self.size, dtype=torch.bool)
        generator = self.generator("split")
        for index in self.classes:
            members = self.of_class(index)
            order = torch.randperm(len(members), generator=generator)
            chosen[members[order[: max(1, round(len(members) * _PROPOSING_SHARE))]]] = True
        return chosen

    @property
    def counts(self) -> Tensor:
        """Which samples count, bool ``[N]``."""
        return ~self.proposes

    def of_class(self, index: int, among: Tensor | None = None) -> Tensor:
        """Return the positions of a class, ``int64 [M]``.

        Args:
            index: The class.
            among: Which samples are asked for, bool ``[N]``; all by default.
        """
        members = self.labels == index
        return (members if among is None else members & among).nonzero()[:, 0]

    def name_of(self, index: int) -> str:
        """Return the name of a class."""
        names = self.class_names
        return str(names[index]) if names is not None and 0 <= index < len(names) else str(index)

    def generator(self, purpose: str) -> torch.Generator:
        """Return a generator of random numbers that only the seed and the purpose decide."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + sum(purpose.encode())) % 2**63)

    def chosen(self, positions: Tensor, count: int, purpose: str) -> Tensor:
        """Return at most ``count`` of the positions, at random."""
        order = torch.randperm(len(positions), generator=self.generator(purpose))
        return positions[order[:count]]
