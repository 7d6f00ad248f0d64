"""What a cue does to a model's answers, against loops over the formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap

from saliency_callbacks.errors import ConfigurationError, OutputError, TargetError
from saliency_callbacks.scores.counterfactual import cue_effect
from saliency_callbacks.targets.link import LOGITS

pairs = arrays(np.float64, st.tuples(st.just(2), st.integers(1, 5), st.integers(2, 5)), elements=st.floats(-9, 9))


def _margin(row, chosen):
    return row[chosen] - max(value for other, value in enumerate(row) if other != chosen)


@given(pairs, st.integers(0, 4), st.integers(0, 31))
def test_every_value_is_its_formula(values, suspect, chosen):
    clean, cued = values
    count, n_classes = clean.shape
    assume(suspect < n_classes)
    scale = np.mean([np.std(row) for row in clean])
    assume(scale > 1e-3)
    usable = torch.tensor([bool(chosen >> position & 1) for position in range(count)])
    found = cue_effect(torch.from_numpy(clean), torch.from_numpy(cued), suspect, usable)
    assert found.effect.isfinite().tolist() == usable.tolist()
    for position in range(count):
        before, after = clean[position], cued[position]
        effects = [(_margin(after, c) - _margin(before, c)) / scale for c in range(n_classes)]
        if not usable[position]:
            assert all(math.isnan(one[position]) for one in (found.effect, found.contrast, found.flips))
            continue
        others = [effect for c, effect in enumerate(effects) if c != suspect]
        assert float(found.effect[position]) == pytest.approx(effects[suspect], abs=1e-9)
        assert float(found.contrast[position]) == pytest.approx(effects[suspect] - np.median(others), abs=1e-9)
        assert found.flips[position] == float(np.argmax(before) != suspect and np.argmax(after) == suspect)


def test_the_scale_is_that_of_all_samples():
    clean = torch.tensor([[2.0, 0.0], [0.0, 6.0]])
    cued = clean + torch.tensor([1.0, 0.0])
    found = cue_effect(clean, cued, 0, torch.tensor([False, True]))
    assert float(found.effect[1]) == 1 / 2, "the mean of 1 and 3"


def test_a_single_logit_is_the_second_of_two_classes():
    clean, cued = torch.tensor([[-1.0], [-3.0]]), torch.tensor([[1.0], [-3.0]])
    everyone = torch.tensor([True, True])
    one = cue_effect(clean, cued, 1, everyone)
    two = cue_effect(LOGITS.columns(clean), LOGITS.columns(cued), 1, everyone)
    assert torch.equal(one.effect, two.effect)
    assert one.effect.tolist() == [2.0, 0.0], "in units of the mean of ½ and 1½"
    assert one.flips.tolist() == [1.0, 0.0]
    other = cue_effect(clean, cued, 0, everyone)
    assert other.effect.tolist() == [-2.0, 0.0]
    with pytest.raises(TargetError, match="class 2 does not exist; expected an index from 0 to 1"):
        cue_effect(clean, cued, 2, everyone)


def test_two_columns():
    assert LOGITS.columns(torch.tensor([[3.0], [-1.0]])).tolist() == [[0.0, 3.0], [0.0, -1.0]]
    several = torch.randn(3, 4)
    assert torch.equal(LOGITS.columns(several), several)
    assert LOGITS.columns(torch.zeros(2, 3, dtype=torch.bfloat16)).dtype == torch.float32
    assert LOGITS.columns(torch.zeros(2, 1, dtype=torch.float64)).dtype == torch.float64
    assert not LOGITS.columns(torch.zeros(2, 3, requires_grad=True)).requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_sample_that_is_not_finite_is_left_out(bad):
    clean = torch.tensor([[0.0, 2.0], [0.0, 4.0], [0.0, 2.0]])
    cued = clean + torch.tensor([1.0, 0.0])
    cued[1, 0] = bad
    found = cue_effect(clean, cued, 0, torch.ones(3, dtype=torch.bool))
    assert found.effect.isfinite().tolist() == found.contrast.isfinite().tolist() == [True, False, True]
    assert found.flips.isfinite().tolist() == [True, False, True]
    assert math.isfinite(found.lower_bound("effect"))


def test_the_lower_bound_is_that_of_scipy():
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    cued = clean + torch.randn(40, 6, generator=generator) * 0.5
    cued[:, 2] += 1
    usable = torch.arange(40) % 4 != 0
    found = cue_effect(clean, cued, 2, usable)
    for statistic in ("effect", "contrast"):
        values = found.values(statistic)[usable].numpy()
        reference = bootstrap(
            (values,),
            np.mean,
            confidence_level=0.9,
            method="percentile",
            n_resamples=9999,
            rng=np.random.default_rng(0),
        ).confidence_interval
        bound = found.lower_bound(statistic, n_bootstrap=9999)
        assert bound == pytest.approx(reference.low, abs=0.03 * (reference.high - reference.low))
        assert bound < values.mean()
        assert bound == found.lower_bound(statistic, n_bootstrap=9999, seed=0)
        assert bound != found.lower_bound(statistic, n_bootstrap=9999, seed=1)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_samples_have_no_bound(count):
    usable = torch.arange(4) < count
    found = cue_effect(torch.randn(4, 3), torch.randn(4, 3), 0, usable)
    assert math.isnan(found.lower_bound("effect"))


def test_what_does_not_fit():
    logits, everyone = torch.zeros(2, 3), torch.ones(2, dtype=torch.bool)
    with pytest.raises(TargetError, match="class 3 does not exist"):
        cue_effect(logits, logits, 3, everyone)
    with pytest.raises(ConfigurationError, match="give both for the same samples and classes"):
        cue_effect(logits, torch.zeros(2, 4), 0, everyone)
    with pytest.raises(OutputError, match="at least 2 classes"):
        cue_effect(torch.zeros(2, 0), torch.zeros(2, 0), 0, everyone)
