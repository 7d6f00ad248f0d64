"""What a cue alarm carries from one evaluation to the next, and through a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from typing_extensions import Self, override

from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.callbacks.runtime.state import RunState, Stateful
from saliency_callbacks.scores import mean_of_finite
from saliency_callbacks.scores.counterfactual import CueEffect, Statistic

__all__ = ["CueState", "Evaluation"]

_MOST_WITH_SAMPLES = 100
_MOST_VALUES = 1024 * _MOST_WITH_SAMPLES


@dataclass(frozen=True)
class Evaluation(Stateful):
    """One evaluation of a cue.

    Args:
        epoch: The Trainer's epoch, counted from 0.
        step: The step under which it was logged.
        stage: ``"initial"`` before the training, ``"fit"`` after it began.
        effects: Effect on each sample; NaN for samples that cannot tell. Empty in all but the last 100 evaluations,
            or of fewer where there are more than 1024 samples, so that a checkpoint of a long run stays small.
        contrasts: Contrast between the classes of each sample, likewise.
        statistic: Which of the two is watched.
        mean: Mean of the watched one.
        lower_bound: The lower bound on it.
        flip_rate: Share of samples whose prediction the cue turned to the suspect class.
        alarm: Whether the alarm was on afterwards.
        fired: Whether it went on with this evaluation.
    """

    epoch: int
    step: int
    stage: str
    effects: tuple[float, ...]
    contrasts: tuple[float, ...]
    statistic: Statistic
    mean: float
    lower_bound: float
    flip_rate: float
    alarm: bool
    fired: bool

    @property
    def values(self) -> tuple[float, ...]:
        """Value of the watched statistic of each sample."""
        return self.effects if self.statistic == "effect" else self.contrasts


@dataclass(kw_only=True)
class CueState(RunState):
    """The state of a cue alarm.

    Args:
        streak: How many evaluations in a row were above the threshold.
        history: Every evaluation, oldest first.
    """

    streak: int = 0
    history: tuple[Evaluation, ...] = field(default_factory=tuple)

    def judged(self, moment: Moment, effect: CueEffect, statistic: Statistic, bound: float, rule: AlarmRule) -> Self:
        """Return the state after one more evaluation, the last of its history.

        NaN is no reason for an alarm. An evaluation before or outside of the training is recorded, but does not count.

        Args:
            moment: When it was made.
            effect: What the cue did.
            statistic: What of it is watched.
            bound: The lower bound on its mean.
            rule: When the alarm is on.
        """
        counts = moment.stage == "fit"
        streak = (self.streak + 1 if bound > rule.threshold else 0) if counts else self.streak
        evaluation = Evaluation(
            epoch=moment.epoch,
            step=moment.step,
            stage=moment.stage,
            effects=tuple(effect.effect.tolist()),
            contrasts=tuple(effect.contrast.tolist()),
            statistic=statistic,
            mean=mean_of_finite(effect.values(statistic)),
            lower_bound=bound,
            flip_rate=mean_of_finite(effect.flips),
            alarm=streak >= rule.patience,
            fired=counts and streak >= rule.patience > self.streak,
        )
        return replace(self, streak=streak, history=(*_shortened(self.history, len(evaluation.effects)), evaluation))

    @override
    def restarted(self) -> Self:
        return replace(self, streak=0, history=())


def _shortened(history: tuple[Evaluation, ...], n_samples: int) -> tuple[Evaluation, ...]:
    """Return ``history`` without the samples of the oldest evaluations, where one of so many samples is too many."""
    most = min(_MOST_WITH_SAMPLES, max(1, _MOST_VALUES // max(1, n_samples)))
    kept = len(history) + 1 - most
    return tuple(
        replace(one, effects=(), contrasts=()) if number < kept and one.effects else one
        for number, one in enumerate(history)
    )
