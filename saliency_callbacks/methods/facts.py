"""What is told of a method: what it asks for, and how it fared where it was measured.

Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Cost", "Faithfulness", "Sanity"]


@dataclass(frozen=True)
class Cost:
    """What a method asks for; tested against its passes.

    Args:
        passes: How often each sample goes forward and backward; methods that share a pass share its cost.
        needs: What the model or the data must have.
    """

    passes: int = 1
    needs: tuple[str, ...] = ()

    @property
    def shares_pass(self) -> bool:
        """Whether all of that is the pass that every observation makes anyway."""
        return self.passes == 1 and "ReLUs" not in self.needs


@dataclass(frozen=True)
class Sanity:
    """How a method fared in parameter randomization.

    Args:
        status: ``fails`` where the floor or the similarity says that the maps do not come from the weights, ``passes``
            where they do, ``undecided`` where trained and random maps are alike and random ones are not.
        similarity: s, with the maps of random copies; signed Spearman, in [-1, 1].
        floor: s₀, between random copies.
    """

    status: Literal["passes", "fails", "undecided"]
    similarity: float
    floor: float


@dataclass(frozen=True)
class Faithfulness:
    """How a method fared in deletion and insertion, beside the same maps elsewhere, and under a little noise.

    None of it says that a map is right, and it ranks no methods: some that fail parameter randomization are high here.

    Args:
        deletion_gain: In [-1, 1]; 0 is no better than the same map somewhere else.
        insertion_gain: The same of showing the first positions alone.
        stability: Rank correlation with the maps of noisy samples; 1 is unchanged.
    """

    deletion_gain: float
    insertion_gain: float
    stability: float
