"""What a callback carries on that explains the same classes at the same layers for as long as the training runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from typing_extensions import Self, override

from saliency_callbacks.callbacks.run_state import RunState, run_facts

__all__ = ["PinnedState", "pinned_facts"]


@dataclass(kw_only=True)
class PinnedState(RunState):
    """What is explained, settled once.

    Args:
        target_layers: Names of the target layers, found at the first observation.
        pinned: Classes that are explained for as long as the training runs, ``[N]``.
    """

    target_layers: tuple[str, ...] = ()
    pinned: Tensor | None = None

    @override
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "target_layers": list(self.target_layers), "pinned": self.pinned}

    @classmethod
    @override
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        return cls(**pinned_facts(state))

    @override
    def restarted(self) -> Self:
        return replace(self, pinned=None)


def pinned_facts(state: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a :class:`PinnedState` that a checkpoint holds."""
    return {**run_facts(state), "target_layers": tuple(state["target_layers"]), "pinned": state["pinned"]}
