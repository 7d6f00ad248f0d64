"""Whether the network uses a candidate: the bounds of its effect, by hand and against the worse control."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from saliency_callbacks.discovery.confirmation import confirm
from saliency_callbacks.functional.effects import bootstrap_lower_bound


def _logits(rise: float | Tensor = 0.0, *, n_samples: int = 20, index: int = 1) -> Tensor:
    """Logits of three classes whose population standard deviation is 1, with one class raised."""
    logits = torch.tensor([1.0, 0.0, -1.0]).double().repeat(n_samples, 1) * math.sqrt(1.5)
    logits[:, index] += rise
    return logits


def test_an_effect_is_the_rise_of_the_margin_in_standard_deviations() -> None:
    effect = confirm(_logits(), _logits(0.5), [_logits(0.1)], 1, "effect")
    assert effect.mean == pytest.approx(0.5)
    assert effect.lower_bound == pytest.approx(0.5)
    assert effect.control == pytest.approx(0.1)
    assert effect.control_bound == pytest.approx(0.4)


def test_a_contrast_is_without_what_moves_every_class() -> None:
    # All of three classes closer together: each moves, and the middle one does not.
    effect = confirm(_logits(), _logits() / 2, [_logits()], 0, "contrast")
    margins = np.array([1, -1, -2]) * math.sqrt(1.5)
    moved = margins / 2 - margins
    assert effect.mean == pytest.approx(moved[0] - np.median(moved[1:]))


def test_the_worse_control_decides() -> None:
    rises = torch.linspace(0.2, 1.0, 20).double()
    cued, weak, strong = _logits(rises), _logits(0.1), _logits(rises + 0.1)
    for controls in ([weak, strong], [strong, weak]):
        effect = confirm(_logits(), cued, controls, 1, "effect")
        assert effect.control == pytest.approx(0.7)
        assert effect.control_bound == pytest.approx(-0.1)
        assert not effect.is_above(0.25)
    assert confirm(_logits(), cued, [weak], 1, "effect").is_above(0.25)


def test_bounds_are_those_of_the_bootstrap() -> None:
    rises = torch.randn(20, dtype=torch.double).abs()
    effect = confirm(_logits(), _logits(rises), [_logits(rises / 2)], 1, "effect", seed=7)
    assert effect.lower_bound == pytest.approx(float(bootstrap_lower_bound(rises, seed=7)))
    assert effect.control_bound == pytest.approx(float(bootstrap_lower_bound(rises / 2, seed=7)))
    assert effect.lower_bound < effect.mean


@pytest.mark.parametrize("threshold", [0.25, 0.6])
def test_the_bound_has_to_exceed_the_threshold(threshold: float) -> None:
    assert confirm(_logits(), _logits(0.5), [_logits()], 1, "effect").is_above(threshold) == (threshold < 0.5)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_diverged_network_uses_nothing(broken: float) -> None:
    logits = torch.full((20, 3), broken)
    effect = confirm(logits, logits, [logits, logits], 1, "contrast")
    assert math.isnan(effect.mean)
    assert not effect.is_above(0)


def test_a_control_that_is_not_finite_is_no_excuse() -> None:
    broken = torch.full((20, 3), torch.nan).double()
    effect = confirm(_logits(), _logits(0.5), [broken, _logits(0.6)], 1, "effect")
    assert effect.control == pytest.approx(0.6)
    assert not effect.is_above(0.25)
    assert not confirm(_logits(), _logits(0.5), [broken], 1, "effect").is_above(0.25)


def test_a_few_broken_samples_are_left_out() -> None:
    cued = _logits(0.5)
    cued[3] = torch.nan
    effect = confirm(_logits(), cued, [_logits()], 1, "effect")
    assert effect.mean == pytest.approx(0.5)
    assert effect.is_above(0.25)


def test_a_constant_network_uses_nothing() -> None:
    constant = torch.zeros(20, 3)
    assert not confirm(constant, constant, [constant], 0, "effect").is_above(0)


def test_two_classes() -> None:
    clean = torch.tensor([[1.0, -1.0]]).repeat(9, 1)
    for statistic in ("effect", "contrast"):
        effect = confirm(clean, clean.flip(1), [clean], 1, statistic)
        assert effect.is_above(0.25)
        assert effect.mean == pytest.approx(4 if statistic == "effect" else 8)
