"""What is said when a cue alarm fires."""

from __future__ import annotations

from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.cue.state import Evaluation
from saliency_callbacks.config.wording import counted

__all__ = ["describe_alarm"]


def describe_alarm(cue: str, suspect: str, evaluation: Evaluation, rule: AlarmRule) -> str:
    """Say in words what set the alarm off: what was measured, what it means, and what to do."""
    beyond = "" if evaluation.statistic == "effect" else " beyond the median of the other classes"
    in_a_row = f"{counted(rule.patience, 'evaluation')}{' in a row' if rule.patience > 1 else ''}"
    return (
        f"the model uses the cue {cue!r} as evidence for class {suspect}: inserted into samples of other classes, it "
        f"raises the margin of that class by {evaluation.mean:.2f} standard deviations of the logits{beyond} (lower "
        f"bound {evaluation.lower_bound:.2f} > threshold {rule.threshold:g} in {in_a_row}, most recently in epoch "
        f"{evaluation.epoch}) and flips {evaluation.flip_rate:.0%} of the predictions to it. Remove the cue from the "
        "training data, or add samples of other classes that have it"
    )
