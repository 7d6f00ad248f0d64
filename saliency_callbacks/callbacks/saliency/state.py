"""What a monitor carries from one observation to the next, and through a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from typing_extensions import Self, override

from saliency_callbacks.callbacks.runtime.state import PinnedState, pinned_facts
from saliency_callbacks.callbacks.saliency.history import MethodHistory

__all__ = ["MonitorState"]


@dataclass(kw_only=True)
class MonitorState(PinnedState):
    """The state of a monitor.

    Args:
        histories: Earlier maps of each method.
    """

    histories: dict[str, MethodHistory] = field(default_factory=dict)

    @override
    def state_dict(self) -> dict[str, Any]:
        histories = {name: history.state_dict() for name, history in self.histories.items()}
        return {**super().state_dict(), "histories": histories}

    @classmethod
    @override
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        histories = {name: MethodHistory.from_state_dict(history) for name, history in state["histories"].items()}
        return cls(**pinned_facts(state), histories=histories)

    @override
    def restarted(self) -> Self:
        return replace(super().restarted(), histories={})
