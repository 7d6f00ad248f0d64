"""When an alarm is on: what can be asked for."""

from __future__ import annotations

import math

import pytest
import torch

from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.scores.counterfactual import CueEffect


@pytest.mark.parametrize("value", [0.25, -3, 0, 7.5])
def test_a_threshold(value):
    assert AlarmRule(threshold=value).threshold == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.5", None, True, [0.5], 1j])
def test_no_threshold(value):
    with pytest.raises(ConfigurationError, match=r"threshold=.*; expected a finite number$"):
        AlarmRule(threshold=value)


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.1, math.nan])
def test_a_confidence_is_between_0_and_1(value):
    with pytest.raises(ConfigurationError, match=r"confidence=.*; expected a finite number between 0 and 1"):
        AlarmRule(confidence=value)
    assert AlarmRule(confidence=0.5).confidence == 0.5


@pytest.mark.parametrize("name", ["patience", "n_bootstrap"])
@pytest.mark.parametrize("value", [0, -1, 1.5, None, True])
def test_what_is_counted_is_a_positive_whole_number(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name}=.*a whole number of at least 1"):
        AlarmRule(**{name: value})


def test_an_unknown_statistic():
    with pytest.raises(ConfigurationError, match="statistic='effct' is unknown; did you mean 'effect'"):
        AlarmRule(statistic="effct")


@pytest.mark.parametrize(
    ("statistic", "of_a_patch", "of_all"),
    [("auto", "effect", "contrast"), ("effect", "effect", "effect"), ("contrast", "contrast", "contrast")],
)
def test_what_is_watched(statistic, of_a_patch, of_all):
    rule = AlarmRule(statistic=statistic)
    assert (rule.watched(is_global=False), rule.watched(is_global=True)) == (of_a_patch, of_all)


def test_the_bound_is_that_of_the_statistic_at_the_confidence():
    values = torch.tensor([1.0, 2.0, 4.0, 8.0])
    effect = CueEffect(values, -values, torch.ones(4), torch.ones(4, dtype=torch.bool))
    rule = AlarmRule(confidence=0.8, n_bootstrap=50)
    found = rule.lower_bound(effect, "effect", 3)
    assert found == effect.lower_bound("effect", confidence=0.8, n_bootstrap=50, seed=3)
    assert found < 3.75
    assert rule.lower_bound(effect, "contrast", 3) < 0
    assert AlarmRule(confidence=0.99, n_bootstrap=50).lower_bound(effect, "effect", 3) < found
