"""What a monitor carries from one observation to the next, and through a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from typing_extensions import Self, override

from saliency_callbacks.callbacks.runtime.state import PinnedState
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
    def restarted(self) -> Self:
        return replace(super().restarted(), histories={})
