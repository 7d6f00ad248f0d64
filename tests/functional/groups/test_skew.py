"""Fisher's exact test and the rank-sum test against SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact, mannwhitneyu

from saliency_callbacks.functional.groups.skew import fisher_p_value, rank_sum_p_value

_SIZES = (0, 1, 3, 8)
_TABLES = [(a, n, b, m) for n, m in itertools.product(_SIZES, _SIZES) for a in range(n + 1) for b in range(m + 1)]
_groups = st.lists(st.integers(-3, 3), min_size=1, max_size=9)


def _fisher_twin(a: int, n: int, b: int, m: int) -> float:
    return float(fisher_exact([[a, n - a], [b, m - b]], alternative="greater").pvalue)


def test_fisher_is_that_of_scipy_at_every_table_of_small_groups() -> None:
    found = fisher_p_value(*torch.tensor(_TABLES).T)
    np.testing.assert_allclose(found.numpy(), [_fisher_twin(*table) for table in _TABLES], rtol=1e-9)
    assert found.dtype == torch.float64


@pytest.mark.parametrize("table", [(32, 64, 0, 64), (64, 64, 3, 640), (5, 700, 40, 300), (700, 700, 300, 300)])
def test_fisher_is_that_of_scipy_for_larger_groups(table: tuple[int, int, int, int]) -> None:
    np.testing.assert_allclose(fisher_p_value(*torch.tensor(table)).item(), _fisher_twin(*table), rtol=1e-8)


def test_fisher_of_groups_of_different_sizes_at_once() -> None:
    bearing, sizes = torch.tensor([[0, 2], [1, 9]]), torch.tensor([4, 9])
    found = fisher_p_value(torch.tensor(3), torch.tensor(5), bearing, sizes)
    expected = [[_fisher_twin(3, 5, int(b), int(m)) for b, m in zip(row, sizes, strict=True)] for row in bearing]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    assert fisher_p_value(torch.tensor(3), torch.tensor(5), torch.zeros(0), torch.zeros(0)).shape == (0,)


@given(_groups, _groups)
def test_ranks_are_tested_as_scipy_does(values: list[int], others: list[int]) -> None:
    found = rank_sum_p_value(torch.tensor(values), torch.tensor(others))
    if len({*values, *others}) == 1:
        assert found == 1
    else:
        expected = mannwhitneyu(values, others, alternative="greater", method="asymptotic").pvalue
        assert found == pytest.approx(float(expected), rel=1e-9)


def test_ranks_of_many_values_without_ties() -> None:
    values, others = torch.randn(200, dtype=torch.double) + 0.3, torch.randn(900, dtype=torch.double)
    expected = mannwhitneyu(values, others, alternative="greater", method="asymptotic").pvalue
    assert rank_sum_p_value(values, others) == pytest.approx(float(expected), rel=1e-9)
    assert rank_sum_p_value(values.exp(), others.exp()) == rank_sum_p_value(values, others)


def test_a_group_of_none_tells_nothing() -> None:
    assert rank_sum_p_value(torch.zeros(0), torch.ones(3)) == rank_sum_p_value(torch.ones(3), torch.zeros(0)) == 1
    assert rank_sum_p_value(torch.ones(1), torch.ones(0)) == 1
