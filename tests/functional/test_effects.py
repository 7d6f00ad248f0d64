"""Margins and effects against plain loops and NumPy, and the laws of the bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap

from saliency_callbacks.errors import ConfigurationError, OutputError, TargetError
from saliency_callbacks.functional import effects

logits = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 5)), elements=st.integers(-9, 9).map(float))
pairs = arrays(np.float64, st.tuples(st.just(2), st.integers(1, 4), st.integers(2, 5)), elements=st.floats(-9, 9))


def margin_twin(row: list[float], chosen: int) -> float:
    best = -np.inf
    for other, value in enumerate(row):
        if other != chosen and value > best:
            best = value
    return row[chosen] - best


@given(logits)
def test_margins_are_their_formula(values):
    expected = [[margin_twin(row, c) for c in range(len(row))] for row in values.tolist()]
    assert effects.margins(torch.from_numpy(values)).tolist() == expected
    for c in range(values.shape[1]):
        assert effects.margin(torch.from_numpy(values), c).tolist() == [row[c] for row in expected]


def test_the_margin_of_each_sample_s_own_class():
    values = torch.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, 1.0]])
    assert effects.margin(values, torch.tensor([2, 0])).tolist() == [-3.0, 3.0]
    assert effects.margin(values, torch.tensor([2, 0], dtype=torch.int32)).tolist() == [-3.0, 3.0]


@given(pairs)
def test_effects_are_their_formula(values):
    clean, changed = values
    scale = np.mean([np.std(row) for row in clean])
    found = effects.margin_effects(torch.from_numpy(clean), torch.from_numpy(changed)).numpy()
    if scale == 0:
        assert np.isnan(found).all()
    elif scale > 1e-6:
        moved = [
            [margin_twin(b, c) - margin_twin(a, c) for c in range(len(a))] for a, b in zip(clean, changed, strict=True)
        ]
        np.testing.assert_allclose(found, np.array(moved) / scale, rtol=1e-9, atol=1e-9)


def test_effects_do_not_depend_on_the_unit_or_the_offset_of_the_logits():
    clean, changed = torch.randn(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = effects.margin_effects(clean, changed)
    torch.testing.assert_close(effects.margin_effects(7 * clean + 3, 7 * changed + 3), expected)


def test_a_broken_sample_has_no_effect_and_leaves_the_others_theirs():
    clean = torch.tensor([[torch.nan, 1.0], [0.0, 2.0], [0.0, 2.0]])
    changed = torch.tensor([[0.0, 1.0], [1.0, 2.0], [torch.inf, 2.0]])
    found = effects.margin_effects(clean, changed)
    assert found[1].tolist() == [1.0, -1.0]
    assert found[[0, 2]].isnan().all()


def test_flat_logits_have_no_scale():
    assert effects.margin_effects(torch.ones(3, 2), torch.randn(3, 2)).isnan().all()


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 6)), elements=st.floats(-9, 9)), st.data())
def test_the_contrast_is_to_the_median_of_the_others(values, data):
    suspect = data.draw(st.integers(0, values.shape[1] - 1))
    expected = values[:, suspect] - np.median(np.delete(values, suspect, axis=1), axis=1)
    np.testing.assert_allclose(effects.class_contrast(torch.from_numpy(values), suspect).numpy(), expected, atol=1e-12)


@given(st.floats(-5, 5), st.integers(0, 3))
def test_a_change_that_moves_every_class_has_no_contrast(amount, suspect):
    assert effects.class_contrast(torch.full((2, 4), amount), suspect).tolist() == [0.0, 0.0]


def test_the_contrast_of_an_unknown_effect_is_unknown():
    values = torch.tensor([[1.0, torch.nan, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert effects.class_contrast(values, 0).isnan().tolist() == [True, False]


def test_a_flip_goes_to_the_suspect_class():
    clean = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [torch.nan, 1.0]])
    changed = torch.tensor([[2.0, 1.0], [2.0, 0.0], [0.0, 5.0], [1.5, 1.0], [2.0, 1.0]])
    assert effects.flips(clean, changed, 0).tolist() == [True, False, False, True, False]
    assert effects.flip_rate(clean, changed, 0).item() == pytest.approx(0.4)
    assert effects.flip_rate(clean, changed, 1).item() == 0
    assert effects.flip_rate(clean[:0], changed[:0], 0).isnan()


@given(arrays(np.float64, st.integers(2, 40), elements=st.floats(-5, 5)), st.integers(0, 2**31))
def test_the_bound_is_below_the_mean_repeats_and_leaves_global_state(values, seed):
    given_values, state = torch.from_numpy(values), torch.get_rng_state()
    bound = effects.bootstrap_lower_bound(given_values, seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert bound <= given_values.mean() + 1e-12
    assert bound >= given_values.min() - 1e-12
    assert torch.equal(bound, effects.bootstrap_lower_bound(given_values, seed=seed))


def test_the_bound_agrees_with_scipy():
    values = np.random.default_rng(0).gamma(2.0, size=32)
    reference = bootstrap(
        (values,), np.mean, confidence_level=0.95, alternative="greater", method="percentile", n_resamples=20_000, rng=0
    )
    found = effects.bootstrap_lower_bound(torch.from_numpy(values), n_bootstrap=20_000)
    assert found.item() == pytest.approx(reference.confidence_interval.low, abs=0.01)
    assert effects.bootstrap_lower_bound(torch.from_numpy(values), 0.99) < found


def test_another_seed_draws_other_resamples():
    values = torch.arange(20.0)
    assert effects.bootstrap_lower_bound(values, seed=1) != effects.bootstrap_lower_bound(values, seed=2)


def test_values_that_are_not_finite_are_left_out():
    values = torch.tensor([0.5, 2.0, 1.0])
    with_gaps = torch.tensor([torch.nan, 0.5, torch.inf, 2.0, 1.0])
    assert effects.bootstrap_lower_bound(with_gaps) == effects.bootstrap_lower_bound(values)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, torch.nan]])
def test_a_single_value_has_no_bound(values):
    assert effects.bootstrap_lower_bound(torch.tensor(values)).isnan()


def test_the_rule_of_three():
    assert effects.rule_of_three(32) == pytest.approx(0.0894, abs=1e-4)
    assert effects.rule_of_three(300) == pytest.approx(3 / 300, rel=0.01)
    assert effects.rule_of_three(0) == 1
    assert (1 - effects.rule_of_three(7, 0.9)) ** 7 == pytest.approx(0.1)


def test_half_precision_is_widened():
    values = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).half()
    for found in (
        effects.margins(values),
        effects.margin_effects(values, -values),
        effects.flip_rate(values, -values, 0),
    ):
        assert found.dtype == torch.float32


@pytest.mark.parametrize(
    "use",
    [
        effects.margins,
        lambda z: effects.margin(z, 0),
        lambda z: effects.margin_effects(z, z),
        lambda z: effects.class_contrast(z, 0),
        lambda z: effects.flips(z, z, 0),
    ],
)
@pytest.mark.parametrize("shape", [(3, 1), (3,), (2, 3, 4)])
def test_fewer_than_two_classes_are_refused(use, shape):
    with pytest.raises(OutputError, match=r"at least 2 classes.*two columns") as error:
        use(torch.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_unknown_class_is_refused(wrong):
    values = torch.zeros(2, 3)
    for use in (effects.margin, effects.class_contrast, lambda z, c: effects.flips(z, z, c)):
        with pytest.raises(TargetError, match=rf"class {wrong} does not exist.*0 to 2"):
            use(values, wrong)
    with pytest.raises(TargetError, match=f"class {wrong} "):
        effects.margin(values, torch.tensor([0, wrong]))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: effects.margin_effects(torch.zeros(2, 3), torch.zeros(3, 3)), r"\(2, 3\).*\(3, 3\)"),
        (lambda: effects.margin(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long)), r"\(3,\).*\(2, 3\)"),
        (lambda: effects.flips(torch.zeros(2, 3), torch.zeros(2, 2), 0), r"\(2, 3\).*\(2, 2\)"),
        (lambda: effects.bootstrap_lower_bound(torch.zeros(3), confidence=95), "confidence=95 .*0.95"),
        (lambda: effects.bootstrap_lower_bound(torch.zeros(3), n_bootstrap=0), "n_bootstrap=0 .*1000"),
        (lambda: effects.rule_of_three(-1), "n=-1 "),
        (lambda: effects.rule_of_three(5, 1.0), "confidence=1.0 "),
    ],
)
def test_what_else_is_refused(use, message):
    with pytest.raises(ConfigurationError, match=message):
        use()


@pytest.mark.parametrize("count", [2, 7, 300])
def test_resamples_are_the_same_however_many_are_held_at_a_time(monkeypatch, count):
    values = torch.randn(count, generator=torch.Generator().manual_seed(1))
    expected = effects.bootstrap_lower_bound(values, n_bootstrap=101, seed=4)
    monkeypatch.setattr(effects, "_MOST_DRAWN", 64)
    assert torch.equal(effects.bootstrap_lower_bound(values, n_bootstrap=101, seed=4), expected)
