"""What a monitor carries from one observation to the next, and through a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from typing_extensions import Self, override

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.state import ADDED, PinnedState
from saliency_callbacks.callbacks.saliency.history import MethodHistory
from saliency_callbacks.scores.undefined import when_undefined
from saliency_callbacks.types import Attribution

__all__ = ["MonitorState"]


@dataclass(kw_only=True)
class MonitorState(PinnedState):
    """The state of a monitor.

    Args:
        histories: Earlier maps of each method.
        others: Position → explained class of the samples of a streamed probe, shown or not, where classes stay.
    """

    histories: dict[str, MethodHistory] = field(default_factory=dict)
    others: dict[int, int] = field(default_factory=dict, metadata={ADDED: True})

    @override
    def restarted(self) -> Self:
        return replace(super().restarted(), histories={}, others={})

    def promising(self, tags: Iterable[str]) -> Self:
        """Return the state in which scores have a value that can be monitored, though they may have had none yet."""
        return replace(self, finite={tag: when_undefined(tag) for tag in tags} | self.finite)

    def comparable_with(self, attributions: Mapping[str, Attribution]) -> Self:
        """Return the state without the histories that new maps cannot be compared with."""
        kept = {
            name: history
            for name, history in self.histories.items()
            if name not in attributions or history.compares_with(attributions[name].values)
        }
        forgotten = sorted(set(self.histories) & set(attributions) - set(kept))
        if forgotten:
            notices.warn(
                ("other maps", *forgotten),
                f"the maps of {forgotten} differ in number or size from those of the checkpoint (different target "
                "layers or image size); their drift, color scales and filmstrips start anew",
            )
        return replace(self, histories=kept)
