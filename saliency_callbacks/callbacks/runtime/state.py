"""What a callback carries on that explains the same classes at the same layers for as long as the training runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor
from typing_extensions import Self, override

__all__ = ["PinnedState", "RunState", "pinned_facts", "run_facts"]


@dataclass(kw_only=True)
class RunState:
    """Which probe is observed, and what was last found: tensors, lists, dicts, numbers and strings only.

    So that a checkpoint that holds it loads with ``weights_only``.

    Args:
        indices: Positions of the probe's samples in their dataset; ``None`` before the probe is frozen.
        fingerprint: Fingerprint of the probe.
        scores: Scores of the last observation.
        last_observed: Epoch of the last scheduled observation; the one before the training does not count.
        n_observations: How many observations there were.
        thinning: One of how many scheduled observations is made, see
            :class:`~saliency_callbacks.callbacks.runtime.schedule.ObservationCost`.
        skipped: How many were not made since the last one.
    """

    indices: tuple[int, ...] | None = None
    fingerprint: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    last_observed: int | None = None
    n_observations: int = 0
    thinning: int = 1
    skipped: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "indices": None if self.indices is None else list(self.indices),
            "fingerprint": self.fingerprint,
            "scores": dict(self.scores),
            "last_observed": self.last_observed,
            "n_observations": self.n_observations,
            "thinning": self.thinning,
            "skipped": self.skipped,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`state_dict` returned."""
        return cls(**run_facts(state))

    def restarted(self) -> Self:
        """Return the state without what compares with the maps of another probe."""
        return self


def run_facts(state: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a :class:`RunState` that a checkpoint holds."""
    return {
        "indices": None if state["indices"] is None else tuple(state["indices"]),
        "fingerprint": state["fingerprint"],
        "scores": dict(state["scores"]),
        "last_observed": state["last_observed"],
        "n_observations": state["n_observations"],
        "thinning": state.get("thinning", 1),
        "skipped": state.get("skipped", 0),
    }


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
