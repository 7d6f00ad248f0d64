"""What a discovery carries from one evaluation to the next, and through a checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from typing_extensions import Self, override

from saliency_callbacks.callbacks.discovery.stored import as_stored, restored
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.callbacks.runtime.state import RunState, Stateful
from saliency_callbacks.discovery.dismissals import Dismissal
from saliency_callbacks.discovery.dismissals import is_dismissed as is_dismissed_by
from saliency_callbacks.discovery.suspicion import Suspicion

__all__ = ["CONFIRMING", "DiscoveryState", "Known"]

CONFIRMING = 2
"""In how many evaluations of the training in a row a suspicion must be used to be confirmed."""

_MOST_EARLIER = 64
_MOST_EXHIBITS = 12


@dataclass(frozen=True, eq=False)
class Known(Stateful):
    """A suspicion, and what became of it over the evaluations.

    Args:
        suspicion: As it was last found.
        streak: In how many evaluations of the training in a row it was used, until now.
        is_significant: Whether its p-value held in some evaluation at what this one may spend; see :meth:`spent`.
        is_confirmed: Whether it was ever confirmed: significant, and used twice in a row.
        is_current: Whether the last evaluation found it.
        is_dismissed: Whether a person has dismissed it.
        was_alarmed: Whether it has set off the alarm, which it does once.
        fired: Whether it did with the last evaluation.
    """

    suspicion: Suspicion
    streak: int = 0
    is_significant: bool = False
    is_confirmed: bool = False
    is_current: bool = True
    is_dismissed: bool = False
    was_alarmed: bool = False
    fired: bool = False

    @override
    def state_dict(self) -> dict[str, Any]:
        return {**vars(self), "suspicion": as_stored(self.suspicion)}

    @classmethod
    @override
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(**{**state, "suspicion": restored(state["suspicion"])})

    @staticmethod
    def spent(p_value: float, evaluation: int) -> float:
        """Return a p-value, corrected for the evaluations of a training as well.

        Evaluation k spends 1 / (k (k + 1)) of the significance, which over all k, however many there will be, adds up
        to the whole.

        Args:
            p_value: Corrected within its evaluation.
            evaluation: Number of the evaluation, from 1.

        Example:
            >>> [Known.spent(0.001, evaluation) for evaluation in (1, 2)]
            [0.002, 0.006]
        """
        return p_value * evaluation * (evaluation + 1)

    def found(self, suspicion: Suspicion) -> Self:
        """Return the same as it is found now."""
        kept = replace(suspicion, first_seen=self.suspicion.first_seen, known_as=self.suspicion.name)
        return replace(self, suspicion=kept, is_current=True)

    def counted(self, evaluation: int, significance: float) -> Self:
        """Return the same after an evaluation of the training that found it."""
        is_significant = self.is_significant or self.spent(self.suspicion.p_value, evaluation) < significance
        streak = self.streak + 1 if self.suspicion.is_used else 0
        is_confirmed = self.is_confirmed or (is_significant and streak >= CONFIRMING)
        return replace(self, streak=streak, is_significant=is_significant, is_confirmed=is_confirmed)

    def lost(self, *, counts: bool) -> Self:
        """Return the same after an evaluation that did not find it; its pictures are those of another."""
        without = replace(self.suspicion, exhibit=None)
        return replace(self, suspicion=without, is_current=False, streak=0 if counts else self.streak)

    def judged(self, dismissals: Sequence[Dismissal], *, counts: bool) -> Self:
        """Return the same with what a person says of it, and whether it sets off the alarm."""
        is_dismissed = is_dismissed_by(self.suspicion, dismissals)
        is_due = counts and self.is_confirmed and self.is_current and self.streak >= CONFIRMING
        fires = is_due and not (is_dismissed or self.was_alarmed)
        return replace(self, is_dismissed=is_dismissed, fired=fires, was_alarmed=self.was_alarmed or fires)


@dataclass(kw_only=True)
class DiscoveryState(RunState):
    """The state of a discovery.

    Args:
        known: What the last evaluation found, the most credible first; then what earlier ones did.
        n_evaluations: How many evaluations of the training there were.
    """

    known: tuple[Known, ...] = field(default_factory=tuple)
    n_evaluations: int = 0

    @property
    def current(self) -> tuple[Known, ...]:
        """What the last evaluation found and nobody has dismissed, the most credible first."""
        return tuple(one for one in self.known if one.is_current and not one.is_dismissed)

    @property
    def n_dismissed(self) -> int:
        """How many of what the last evaluation found a person has dismissed."""
        return sum(one.is_current and one.is_dismissed for one in self.known)

    @property
    def confirmed(self) -> tuple[Known, ...]:
        """What was used in two evaluations of the training in a row, now or before, and nobody has dismissed."""
        return tuple(one for one in self.known if one.is_confirmed and not one.is_dismissed)

    @property
    def fired(self) -> tuple[Known, ...]:
        """What has set off the alarm with the last evaluation."""
        return tuple(one for one in self.known if one.fired)

    def after(
        self,
        found: Sequence[Suspicion],
        moment: Moment,
        significance: float,
        dismissals: Sequence[Dismissal] = (),
    ) -> Self:
        """Return the state after one more evaluation.

        One before or outside of the training is kept as what was last found, but confirms nothing.

        Args:
            found: What it found, the most credible first.
            moment: When it was made.
            significance: What the p-value of a suspicion must not exceed, over all evaluations of the training.
            dismissals: What a person has dismissed in this probe.
        """
        counts = moment.stage == "fit"
        number = self.n_evaluations + counts
        left, current = list(self.known), list[Known]()
        for rank, suspicion in enumerate(found):
            shown = suspicion if rank < _MOST_EXHIBITS else replace(suspicion, exhibit=None)
            before = next((one for one in left if one.suspicion.is_same_as(suspicion)), None)
            if before is None:
                name = _free_name(suspicion.name, [one.suspicion.name for one in (*self.known, *current)])
                before = Known(replace(suspicion, first_seen=moment.epoch, known_as=name))
            else:
                left.remove(before)
            now = before.found(shown)
            current.append(now.counted(number, significance) if counts else now)
        earlier = _remembered([one.lost(counts=counts) for one in left])
        known = tuple(one.judged(dismissals, counts=counts) for one in (*current, *earlier))
        return replace(self, known=known, n_evaluations=number)

    @override
    def restarted(self) -> Self:
        return replace(self, known=(), n_evaluations=0)


def _remembered(earlier: Sequence[Known]) -> list[Known]:
    """Return what is kept of what is no longer found: all that was confirmed, and the newest of the rest."""
    forgotten = {id(one) for one in [one for one in earlier if not one.is_confirmed][_MOST_EARLIER:]}
    return [one for one in earlier if id(one) not in forgotten]


def _free_name(name: str, taken: Sequence[str]) -> str:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(free for free in names if free not in taken)
