"""From similarities to calibrated numbers and verdicts: closed forms and their boundaries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.scores.randomization import (
    FLOOR_LIMIT,
    LEAST_RANGE,
    Estimate,
    calibrate,
    estimate,
    floor_error,
    is_certain,
    verdict,
)

NAN = math.nan
DEPENDS = "depends on the weights"
DOES_NOT_DEPEND = "does not depend on the weights"


def sure(mean, invalid=0.0):
    return Estimate(mean, 0.0, invalid)


def test_an_estimate_is_over_draws_of_means_over_samples():
    values = torch.tensor([[0.0, 0.5, 1.0], [0.2, 0.2, 0.2], [-1.0, 0.0, 1.0]])
    found = estimate(values)
    assert found.mean == pytest.approx((0.5 + 0.2 + 0) / 3)
    assert found.std == pytest.approx(np.std([0.5, 0.2, 0], ddof=1))
    assert found.invalid == 0


def test_every_draw_weighs_the_same_however_many_samples_have_a_value():
    found = estimate(torch.tensor([[1.0, NAN, NAN, math.inf], [0.0, 0.0, 0.0, 0.0]]))
    assert found.mean == 0.5
    assert found.std == pytest.approx(math.sqrt(0.5))
    assert found.invalid == 3 / 8


@pytest.mark.parametrize("values", [torch.full((2, 3), NAN), torch.full((1, 1), -math.inf), torch.empty(2, 0)])
def test_nothing_to_estimate_from(values):
    found = estimate(values)
    assert math.isnan(found.mean)
    assert math.isnan(found.std)
    assert found.invalid == 1


@pytest.mark.parametrize("values", [[[0.3, 0.5]], [[0.3, 0.5], [NAN, NAN]]])
def test_one_draw_has_no_deviation(values):
    found = estimate(torch.tensor(values))
    assert found.mean == pytest.approx(0.4)
    assert math.isnan(found.std)


def test_calibration():
    assert calibrate(0.2, 0.2) == 0
    assert calibrate(1.0, 0.2) == 1
    assert calibrate(0.6, 0.2) == pytest.approx(0.5)
    assert calibrate(0.4, 0.2, ceiling=0.6) == pytest.approx(0.5)
    assert calibrate(0.0, 0.5) == pytest.approx(-1)


def test_calibration_is_refused_where_nothing_lies_between():
    assert LEAST_RANGE == 0.2
    assert calibrate(0.25, 0.25, ceiling=0.5) == 0
    assert math.isnan(calibrate(0.25, 0.25, ceiling=0.4375))
    assert math.isnan(calibrate(0.9, 0.85))
    assert math.isnan(calibrate(0.5, 0.9, ceiling=0.1))


@pytest.mark.parametrize("arguments", [(NAN, 0.0, 1.0), (0.5, NAN, 1.0), (0.5, 0.0, NAN)])
def test_calibration_of_the_unknown_is_unknown(arguments):
    assert math.isnan(calibrate(*arguments))


@given(st.floats(-1, 1), st.floats(-1, 0.5), st.floats(0.75, 1))
def test_calibration_undone(similarity, floor, ceiling):
    assert calibrate(similarity, floor, ceiling) * (ceiling - floor) + floor == pytest.approx(similarity, abs=1e-9)


def test_verdicts():
    assert FLOOR_LIMIT == 0.3
    assert verdict(sure(0.0), sure(0.0)) == DEPENDS
    assert verdict(sure(0.58), sure(0.69)) == DOES_NOT_DEPEND
    # However little of the similarity is left: calibrated it would be 0.
    assert verdict(sure(0.69), sure(0.69)) == DOES_NOT_DEPEND
    assert verdict(sure(-0.5), sure(0.4)) == DOES_NOT_DEPEND
    assert verdict(sure(-0.9), sure(-0.9)) == DEPENDS


def test_the_limits_themselves_are_within():
    assert verdict(sure(0.3), sure(0.3)) == DEPENDS
    assert verdict(sure(0.3), sure(math.nextafter(0.3, 1))) == DOES_NOT_DEPEND
    assert verdict(sure(math.nextafter(0.3, 1)), sure(0.3)).startswith(
        "undecided: the maps of the trained model resemble"
    )
    assert verdict(sure(0.0, 0.75), sure(0.0, 0.75)) == DEPENDS
    assert verdict(sure(0.0), sure(0.25), ceiling=0.4375).startswith("undecided: two seeds")
    assert verdict(sure(0.0), sure(0.25), ceiling=0.5) == DEPENDS


@pytest.mark.parametrize(
    ("similarity", "floor", "ceiling", "reason"),
    [
        (
            sure(NAN),
            sure(0.9),
            1.0,
            "all maps of the trained model, or of the random copies, are constant or not finite",
        ),
        (sure(0.0), sure(NAN), 1.0, "no two random copies have comparable maps"),
        (sure(0.0, 0.8), sure(0.9), 1.0, "80% of the comparisons involve a constant or non-finite map"),
        (sure(0.0), sure(0.9, 0.76), 1.0, "76% of the comparisons involve a constant or non-finite map"),
        (sure(0.0), sure(0.0), 0.15, "two seeds of the method agree hardly more (0.15)"),
        (
            sure(0.95),
            sure(0.1),
            1.0,
            "resemble those of random copies (0.95), but those of two random copies do not resemble each other (0.10)",
        ),
    ],
)
def test_what_cannot_be_decided_has_a_reason(similarity, floor, ceiling, reason):
    found = verdict(similarity, floor, ceiling)
    assert found.startswith("undecided: ")
    assert reason in found


@given(*[st.floats(-1, 1) | st.just(NAN)] * 2, *[st.floats(0, 1)] * 2, st.floats(-1, 1))
def test_every_verdict_is_one_of_three(similarity, floor, invalid, floor_invalid, ceiling):
    found = verdict(sure(similarity, invalid), sure(floor, floor_invalid), ceiling)
    assert found in {DEPENDS, DOES_NOT_DEPEND} or found.startswith("undecided: ")
    if math.isnan(similarity) or math.isnan(floor):
        assert found.startswith("undecided: ")


def pairs_of(n_copies):
    return list(itertools.combinations(range(n_copies), 2))


@pytest.mark.parametrize("n_copies", [3, 5, 9])
def test_the_error_of_a_floor_is_the_jackknife_over_copies(n_copies):
    pairs = pairs_of(n_copies)
    floors = torch.rand(len(pairs), 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = floors.mean(1).numpy()
    without = [
        np.mean([mean for pair, mean in zip(pairs, means, strict=True) if k not in pair]) for k in range(n_copies)
    ]
    expected = math.sqrt((n_copies - 1) / n_copies * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert floor_error(floors, pairs) == pytest.approx(expected)


def test_the_error_is_as_large_as_the_floor_varies_over_sets_of_copies():
    """Each copy has a direction of its own, so that pairs hang together."""
    generator = torch.Generator().manual_seed(0)
    pairs, floors, errors = pairs_of(8), [], []
    for _ in range(400):
        copies = torch.randn(8, 20, generator=generator) + 0.5
        copies = copies / copies.norm(dim=1, keepdim=True)
        values = torch.stack([(copies[i] * copies[j]).sum() for i, j in pairs])[:, None]
        floors.append(float(values.mean()))
        errors.append(floor_error(values, pairs))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(floors), rel=0.25)


def test_two_copies_or_constant_maps_tell_no_error():
    assert math.isnan(floor_error(torch.rand(1, 3), [(0, 1)]))
    assert math.isnan(floor_error(torch.full((3, 2), NAN), pairs_of(3)))
    assert not is_certain(torch.zeros(2, 3), torch.zeros(1, 3), [(0, 1)])


@pytest.mark.parametrize(
    ("trained", "floor", "spread", "ceiling", "expected"),
    [
        (0.0, 0.0, 0.01, 1.0, True),
        (0.0, 0.9, 0.01, 1.0, True),
        (0.31, 0.0, 0.01, 1.0, False),
        (0.9, 0.0, 0.01, 1.0, True),
        (0.0, FLOOR_LIMIT + 0.01, 0.05, 1.0, False),
        (0.0, 0.0, 0.5, 1.0, False),
        (0.0, 0.0, 0.01, LEAST_RANGE + 0.002, False),
        (NAN, 0.0, 0.01, 1.0, True),
        (0.0, NAN, 0.01, 1.0, True),
    ],
)
def test_a_verdict_is_certain_far_from_its_limits(trained, floor, spread, ceiling, expected):
    waves = torch.linspace(-spread, spread, 10)[:, None]
    similarity = trained + torch.linspace(-0.01, 0.01, 5)[:, None]
    assert is_certain(similarity, floor + waves, pairs_of(5), ceiling) == expected


@pytest.mark.parametrize(("n_constant", "expected"), [(3, False), (4, True)])
def test_more_copies_do_not_help_where_most_maps_are_constant(n_constant, expected):
    floors = FLOOR_LIMIT + torch.linspace(-0.1, 0.1, 10)[:, None].repeat(1, 5)
    floors[:, :n_constant] = NAN
    # With 3 of 5 samples constant, it is the floor at its limit that is not certain.
    assert is_certain(torch.zeros(5, 5), floors, pairs_of(5)) == expected
