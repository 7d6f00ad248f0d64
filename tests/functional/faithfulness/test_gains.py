"""Gains over random orders: their bounds, their zero, and where there are none."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.faithfulness.gains import evidence_left, gain_over_random, has_evidence
from saliency_callbacks.functional.faithfulness.intervals import mean_interval, student_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 7, 15, 63])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.99])
def test_the_quantile_is_that_of_scipy(degrees: int, probability: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=4e-3)


def test_there_is_no_quantile_of_a_certainty() -> None:
    with pytest.raises(ConfigurationError, match="probability=1"):
        student_quantile(1.0, 3)


def test_the_interval_is_that_of_scipy() -> None:
    values = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, low, high = mean_interval(torch.cat([values, torch.tensor([torch.nan])]))
    expected = stats.t.interval(0.95, 15, loc=float(values.mean()), scale=stats.sem(values.numpy()))
    assert (low, high) == pytest.approx(expected, rel=1e-3)
    assert mean == pytest.approx(float(values.mean()))
    assert math.isnan(mean_interval(values[:1])[1])


@pytest.mark.parametrize(("area", "gain"), [(0.0, 1.0), (0.4, 0.0), (1.0, -1.0), (0.2, 0.5), (0.7, -0.5)])
def test_a_deletion_gains_all_to_nothing_and_loses_as_much(area: float, gain: float) -> None:
    found = gain_over_random(torch.full((3,), area), torch.full((3,), 0.4), low_is_good=True)
    assert found.value == pytest.approx(gain, abs=1e-6)
    assert float(found.samples.mean()) == pytest.approx(found.value)
    assert found.lower == pytest.approx(gain, abs=1e-6)


@pytest.mark.parametrize(("area", "gain"), [(1.0, 1.0), (0.4, 0.0), (0.0, -1.0), (0.7, 0.5)])
def test_an_insertion_is_the_reverse(area: float, gain: float) -> None:
    found = gain_over_random(torch.full((3,), area), torch.full((3,), 0.4), low_is_good=False)
    assert found.value == pytest.approx(gain, abs=1e-6)


def test_gains_are_bounded_whatever_the_areas_are() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        areas, random_areas = torch.rand(2, 4, generator=generator).pow(4)
        found = gain_over_random(areas, random_areas, low_is_good=bool(torch.rand(1, generator=generator) < 0.5))
        assert math.isnan(found.value) or -1 <= found.lower <= found.value <= found.upper <= 1


def test_both_ends_of_an_interval_are_on_the_scale_of_the_mean() -> None:
    areas, random_areas = torch.tensor([0.1, 0.35, 0.15]), torch.tensor([0.3, 0.2, 0.25])
    found = gain_over_random(areas, random_areas, low_is_good=True)
    differences = (random_areas - areas).double()
    _, lower, upper = mean_interval(differences)
    scale = float(random_areas.mean()) if differences.mean() > 0 else 1 - float(random_areas.mean())
    assert (found.lower, found.upper) == pytest.approx((max(-1, lower / scale), min(1, upper / scale)), rel=1e-5)
    assert found.lower < 0 < found.upper


def test_the_gain_of_a_sample_is_bounded_as_well() -> None:
    found = gain_over_random(torch.tensor([0.0, 0.1]), torch.tensor([1.0, 0.1]), low_is_good=True)
    assert found.samples.tolist() == [1, 0]


def test_there_is_no_gain_where_random_orders_leave_no_room() -> None:
    nothing_left = torch.full((4,), 0.01)
    assert math.isnan(gain_over_random(torch.zeros(4), nothing_left, low_is_good=True).value)
    assert gain_over_random(torch.zeros(4), nothing_left, low_is_good=True).n_defined == 0
    assert math.isnan(gain_over_random(torch.full((4,), torch.nan), torch.rand(4), low_is_good=True).value)


def test_samples_without_a_value_are_left_out() -> None:
    areas = torch.tensor([0.1, torch.nan, 0.3])
    found = gain_over_random(areas, torch.tensor([0.4, 0.9, 0.4]), low_is_good=True)
    alone = gain_over_random(areas[[0, 2]], torch.tensor([0.4, 0.4]), low_is_good=True)
    assert (found.value, found.lower, found.n_defined) == (alone.value, alone.lower, 2)


def test_the_unit_and_the_sign_of_a_score_do_not_matter() -> None:
    clean, replaced = torch.tensor([5.0, -2.0]), torch.tensor([1.0, 3.0])
    scores = torch.tensor([[3.0, 0.0], [6.0, 3.5]])
    left = evidence_left(scores, clean, replaced)
    torch.testing.assert_close(left, torch.tensor([[0.5, 0.6], [1.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(left, evidence_left(-7 * scores + 2, -7 * clean + 2, -7 * replaced + 2))


def test_a_score_that_hardly_changes_is_no_evidence() -> None:
    clean = torch.tensor([5.0, 5.0, 5.0, torch.nan])
    assert has_evidence(clean, torch.tensor([0.0, 1.0, 4.9, 0.0])).tolist() == [True, True, False, False]
    rounding = clean * (1 + torch.finfo(torch.float32).eps)
    assert not has_evidence(clean, rounding).any()
    assert not has_evidence(clean, clean).any()
