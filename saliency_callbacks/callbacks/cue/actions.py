"""What is said when a cue alarm goes on."""

from __future__ import annotations

from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.cue.state import Evaluation

__all__ = ["describe_alarm"]


def describe_alarm(cue: str, suspect: str, evaluation: Evaluation, rule: AlarmRule) -> str:
    """Say in words what set the alarm off."""
    return (
        f"the model uses the cue {cue!r} as a sign of class {suspect}: put into samples of other classes, it raises "
        f"that class by {evaluation.mean:.2f} standard deviations of the logits ({evaluation.statistic}; lower bound "
        f"{evaluation.lower_bound:.2f} > {rule.threshold:g} in {rule.patience} evaluations in a row, the last in epoch "
        f"{evaluation.epoch}), and turns {evaluation.flip_rate:.0%} of the predictions to it"
    )
