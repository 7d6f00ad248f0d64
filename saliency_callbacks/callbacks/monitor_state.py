"""What a monitor carries from one observation to the next, and through a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor
from typing_extensions import Self, override

from saliency_callbacks.callbacks.history import MethodHistory
from saliency_callbacks.callbacks.run_state import RunState, run_facts

__all__ = ["MonitorState"]


@dataclass(kw_only=True)
class MonitorState(RunState):
    """The state of a monitor.

    Args:
        target_layers: Names of the target layers, found at the first observation.
        pinned: Classes that are explained for as long as the training runs, ``[N]``.
        histories: Earlier maps of each method.
    """

    target_layers: tuple[str, ...] = ()
    pinned: Tensor | None = None
    histories: dict[str, MethodHistory] = field(default_factory=dict)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "target_layers": list(self.target_layers),
            "pinned": self.pinned,
            "histories": {name: history.state_dict() for name, history in self.histories.items()},
        }

    @classmethod
    @override
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        return cls(
            **run_facts(state),
            target_layers=tuple(state["target_layers"]),
            pinned=state["pinned"],
            histories={name: MethodHistory.from_state_dict(history) for name, history in state["histories"].items()},
        )

    @override
    def restarted(self) -> Self:
        return replace(self, pinned=None, histories={})
