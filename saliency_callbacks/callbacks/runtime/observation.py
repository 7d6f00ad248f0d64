"""What an observation is: its moment, what is written of it, and the state after it."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import distributions
from typing import Any, Generic, Literal, TypeVar

from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["Moment", "Observation", "Stage", "State", "changed_scores", "versions"]

Stage = Literal["initial", "fit", "validate", "final"]
State = TypeVar("State", bound=RunState)

_PACKAGES = ("saliency-callbacks", "torch", "lightning", "pytorch-lightning")


@dataclass(frozen=True)
class Moment:
    """When an observation is made; see :class:`~saliency_callbacks.types.Snapshot`."""

    epoch: int
    step: int
    stage: Stage


@dataclass(frozen=True)
class Observation(Generic[State]):
    """What is to be written, and the state once it has been.

    Args:
        snapshot: What was found.
        next_state: What the next observation goes on from.
        pictures: Tag → picture, drawn on demand.
    """

    snapshot: Snapshot
    next_state: State
    pictures: Mapping[str, Picture] = field(default_factory=dict)

    def under(self, circumstances: Mapping[str, Any]) -> Observation[State]:
        """Return the same, with further facts in its metadata; one that is ``None`` is left out."""
        known = {name: fact for name, fact in circumstances.items() if fact is not None}
        return replace(self, snapshot=replace(self.snapshot, metadata={**self.snapshot.metadata, **known}))

    def scored(self, scores: Mapping[str, float]) -> Observation[State]:
        """Return the same with other scores."""
        return replace(self, snapshot=replace(self.snapshot, scores=scores))

    def counted(self, before: State) -> State:
        """Return the state after this observation of the training.

        Args:
            before: The state that it began with.
        """
        snapshot = self.snapshot
        finite = {tag: score for tag, score in snapshot.scores.items() if math.isfinite(score)}
        return replace(
            self.next_state,
            scores=dict(snapshot.scores),
            finite=self.next_state.finite | finite,
            last_observed=before.last_observed if snapshot.stage == "initial" else snapshot.epoch,
            n_observations=before.n_observations + 1,
            skipped=0,
        )


def changed_scores(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return the scores that are new, or differ from earlier ones."""
    # By their text: NaN differs from itself.
    return {tag: score for tag, score in now.items() if str(score) != str(before.get(tag))}


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter to a map, those that are installed."""
    installed = {distribution.name: distribution.version for distribution in distributions()}
    known = {package: installed[package] for package in _PACKAGES if package in installed}
    return {"python": platform.python_version(), **known}
