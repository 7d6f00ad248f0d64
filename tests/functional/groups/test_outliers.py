"""How far an outlier lies from other values, against draws from a normal distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.groups.outliers import least_outlying_gap


@pytest.mark.parametrize("n_values", range(3, 21))
def test_normal_values_have_an_outlier_at_either_end_as_often_as_is_said(n_values: int) -> None:
    drawn = np.sort(np.random.default_rng(n_values).normal(size=(200_000, n_values)), axis=1)
    gaps = np.maximum(
        (drawn[:, -1] - drawn[:, -2]) / (drawn[:, -2] - drawn[:, 0]),
        (drawn[:, 1] - drawn[:, 0]) / (drawn[:, -1] - drawn[:, 1]),
    )
    assert (gaps > least_outlying_gap(n_values)).mean() == pytest.approx(0.05, abs=0.002)
    assert (gaps > least_outlying_gap(n_values, 0.01)).mean() == pytest.approx(0.01, abs=0.001)


def test_more_values_than_the_table_has_are_tested_too_strictly() -> None:
    assert least_outlying_gap(21) == least_outlying_gap(1000) == least_outlying_gap(20)


def test_of_one_or_two_values_none_is_an_outlier() -> None:
    assert least_outlying_gap(1) == least_outlying_gap(2) == math.inf
    with pytest.raises(ConfigurationError, match="n_values=0 has no extreme value; expected at least 1"):
        least_outlying_gap(0)
    with pytest.raises(ConfigurationError, match=r"significance=0.1 is not tabulated; expected one of \[0.05, 0.01\]"):
        least_outlying_gap(5, 0.1)
