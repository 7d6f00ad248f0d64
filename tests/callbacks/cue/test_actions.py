"""What is said when a cue alarm fires."""

from __future__ import annotations

from saliency_callbacks.callbacks.cue.actions import describe_alarm
from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.cue.state import Evaluation


def test_the_description_has_every_number():
    evaluation = Evaluation(
        epoch=3,
        step=40,
        stage="fit",
        effects=(3.0, 3.5),
        contrasts=(1.0, 1.5),
        statistic="contrast",
        mean=1.25,
        lower_bound=0.754,
        flip_rate=0.5,
        alarm=True,
        fired=True,
    )
    assert describe_alarm("tag", "cat", evaluation, AlarmRule(threshold=0.25, patience=2)) == (
        "the model uses the cue 'tag' as evidence for class cat: inserted into samples of other classes, it raises "
        "the margin of that class by 1.25 standard deviations of the logits beyond the median of the other classes "
        "(lower bound 0.75 > threshold 0.25 in 2 evaluations in a row, most recently in epoch 3) and flips 50% of the "
        "predictions to it. Remove the cue from the training data, or add samples of other classes that have it"
    )


def test_a_single_evaluation_is_not_in_a_row():
    evaluation = Evaluation(
        epoch=0,
        step=4,
        stage="fit",
        effects=(3.0,),
        contrasts=(1.0,),
        statistic="effect",
        mean=3.0,
        lower_bound=3.0,
        flip_rate=0.0,
        alarm=True,
        fired=True,
    )
    message = describe_alarm("tag", "cat", evaluation, AlarmRule(patience=1))
    assert "by 3.00 standard deviations of the logits (lower bound" in message
    assert "in 1 evaluation, most recently in epoch 0" in message
