"""What a monitor carries from one observation to the next, and through a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from saliency_callbacks.callbacks.history import MethodHistory

__all__ = ["MonitorState"]


@dataclass
class MonitorState:
    """The state of a monitor: tensors, lists, dicts, numbers and strings only, so that ``weights_only`` loads it.

    Args:
        indices: Positions of the probe's samples in their dataset; ``None`` before the probe is frozen.
        fingerprint: Fingerprint of the probe.
        target_layers: Names of the target layers, found at the first observation.
        pinned: Classes that are explained for as long as the training runs, ``[N]``.
        histories: Earlier maps of each method.
        scores: Scores of the last observation.
        last_observed: Epoch of the last scheduled observation; the one before the training does not count.
        n_observations: How many observations there were.
    """

    indices: tuple[int, ...] | None = None
    fingerprint: str | None = None
    target_layers: tuple[str, ...] = ()
    pinned: Tensor | None = None
    histories: dict[str, MethodHistory] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    last_observed: int | None = None
    n_observations: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "indices": None if self.indices is None else list(self.indices),
            "fingerprint": self.fingerprint,
            "target_layers": list(self.target_layers),
            "pinned": self.pinned,
            "histories": {name: history.state_dict() for name, history in self.histories.items()},
            "scores": dict(self.scores),
            "last_observed": self.last_observed,
            "n_observations": self.n_observations,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> MonitorState:
        """Restore what :meth:`state_dict` returned."""
        return cls(
            indices=None if state["indices"] is None else tuple(state["indices"]),
            fingerprint=state["fingerprint"],
            target_layers=tuple(state["target_layers"]),
            pinned=state["pinned"],
            histories={name: MethodHistory.from_state_dict(history) for name, history in state["histories"].items()},
            scores=dict(state["scores"]),
            last_observed=state["last_observed"],
            n_observations=state["n_observations"],
        )
