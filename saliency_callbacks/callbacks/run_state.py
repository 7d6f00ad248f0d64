"""What every callback carries from one observation to the next, and through a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

__all__ = ["RunState", "run_facts"]


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
            :class:`~saliency_callbacks.callbacks.cost.ObservationCost`.
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
