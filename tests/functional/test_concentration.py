"""Entropy against SciPy; the Gini index against the mean-difference definition, and the laws of both."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from saliency_callbacks import functional

MEASURES = [functional.entropy, functional.gini]
shares = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=5),
    elements=st.one_of(st.just(0.0), st.floats(1e-3, 1e3)),
)


def some_mass(values: np.ndarray) -> np.ndarray:
    return values[values.reshape(len(values), -1).max(axis=1) > 0]


def gini_twin(values: np.ndarray) -> float:
    """Half the relative mean absolute difference between all pairs of values."""
    return np.abs(values[:, None] - values[None, :]).sum() / (2 * len(values) * values.sum())


@given(shares)
def test_entropy_is_scipys(values):
    values = some_mass(values)
    expected = [scipy.stats.entropy(map_.ravel()) / np.log(map_.size) for map_ in values]
    np.testing.assert_allclose(functional.entropy(torch.from_numpy(values)).numpy(), expected, atol=1e-12)


@given(shares)
def test_gini_is_half_the_relative_mean_difference(values):
    values = some_mass(values)
    expected = [gini_twin(map_.ravel()) for map_ in values]
    np.testing.assert_allclose(functional.gini(torch.from_numpy(values)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@given(values=shares)
def test_range_and_invariance_to_scale_and_order(measure, values):
    maps = torch.from_numpy(some_mass(values))
    result = measure(maps)
    assert ((result >= 0) & (result <= 1)).all()
    torch.testing.assert_close(measure(maps * 8), result, rtol=0, atol=1e-12)
    torch.testing.assert_close(measure(maps.flatten(1).flip(1)), result, rtol=0, atol=1e-12)


def test_extremes():
    maps = torch.zeros(2, 4, 5)
    maps[0], maps[1, 2, 3] = 7.0, 7.0
    torch.testing.assert_close(functional.entropy(maps), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(functional.gini(maps), torch.tensor([0.0, 1 - 1 / 20]))


def test_an_empty_corner_of_the_log_is_plain_zero():
    assert not functional.entropy(torch.tensor([[0.0, 5.0]])).signbit().any()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("bad", [[0.0, 0.0], [-1.0, 2.0], [torch.nan, 1.0], [torch.inf, 1.0]])
def test_a_map_without_shares_is_nan(measure, bad):
    result = measure(torch.tensor([bad, [1.0, 2.0]]))
    assert result.isnan().tolist() == [True, False]


def test_entropy_of_one_element_is_undefined():
    assert functional.entropy(torch.ones(1, 1)).isnan().all()
    assert functional.gini(torch.ones(1, 1)).eq(0).all()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_summed_in_full(measure, dtype):
    maps = torch.rand(2, 300, 300, generator=torch.Generator().manual_seed(0)).to(dtype)
    result = measure(maps)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, measure(maps.double()).float())
