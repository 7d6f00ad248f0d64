"""What a randomization test carries from one observation to the next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from typing_extensions import Self, override

from saliency_callbacks.callbacks.runtime.state import ADDED, PinnedState

__all__ = ["CopiesState"]


@dataclass(kw_only=True)
class CopiesState(PinnedState):
    """The state of a test against random copies.

    Args:
        n_copies: How many random copies ``n_draws="auto"`` has come to, so that a run that goes on has as many; 0 where
            they depend on the trained weights, ``None`` where none were kept or their number is fixed.
    """

    n_copies: int | None = field(default=None, metadata={ADDED: True})

    @override
    def restarted(self) -> Self:
        return replace(super().restarted(), n_copies=None)
