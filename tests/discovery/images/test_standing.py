"""How far a class stands apart: closed forms, SciPy's ranks and normal quantiles, and what changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata
from torch import Tensor

from saliency_callbacks.discovery.images.standing import (
    class_means,
    class_z,
    deviations,
    normal_scores,
    standing,
)

_LABELS = torch.arange(40) % 4


def _values(*shape: int) -> Tensor:
    return torch.randn(40, *shape, dtype=torch.double) + _LABELS.double().view(-1, *[1] * len(shape))


@given(st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=9))
def test_normal_scores_are_quantiles_of_mean_ranks(rows: list[list[int]]) -> None:
    expected = norm.ppf((rankdata(rows, axis=0) - 0.5) / len(rows))
    np.testing.assert_allclose(normal_scores(torch.tensor(rows)).numpy(), expected, atol=1e-12)


def test_normal_scores_see_ranks_alone() -> None:
    values = _values(5)
    assert torch.equal(normal_scores(values), normal_scores(values.exp() * 7 - 2))
    order = torch.randperm(40)
    torch.testing.assert_close(normal_scores(values)[order], normal_scores(values[order]))
    torch.testing.assert_close(normal_scores(-values), -normal_scores(values))


def test_a_standing_is_its_formula() -> None:
    values = _values()
    found = standing(values, _LABELS, 3)
    groups = [values[index == _LABELS].numpy() for index in range(4)]
    own, others = groups[3], groups[:3]
    means = np.array([group.mean() for group in others])
    middle = np.median(means)
    between = 1.4826 * np.median(np.abs(means - middle))
    within = np.median([group.std(ddof=1) for group in others])
    assert found.z == pytest.approx((own.mean() - middle) / np.sqrt(between**2 + within**2 / len(own)))
    assert found.gap == pytest.approx((own.mean() - means.max()) / (means.max() - means.min()))
    assert found.usual == pytest.approx(middle)


def test_a_standing_has_no_unit_and_no_names() -> None:
    values = _values()
    found = standing(values, _LABELS, 2)
    for other in (
        standing(3 * values - 8, _LABELS, 2),
        standing(values, _LABELS * 7 + 1, 15),
        standing(values.flip(0), _LABELS.flip(0), 2),
    ):
        assert (other.z, other.gap) == pytest.approx((found.z, found.gap))


def test_of_two_classes_the_gap_is_without_bound() -> None:
    found = standing(_values(), _LABELS % 2, 1)
    assert found.gap == float("inf")
    assert np.isfinite(found.z)


def test_equal_values_stand_nowhere() -> None:
    found = standing(torch.ones(40), _LABELS, 1)
    assert (found.z, found.usual) == (0, 1)
    assert not found.gap > 0


def test_means_and_variances_of_classes() -> None:
    values = _values(2, 3)
    means, variances, counts = class_means(values, _LABELS * 5)
    for index in range(4):
        members = values[index == _LABELS].numpy()
        np.testing.assert_allclose(means[index].numpy(), members.mean(axis=0))
        np.testing.assert_allclose(variances[index].numpy(), members.var(axis=0))
    assert counts.tolist() == [10, 10, 10, 10]


def test_the_z_of_each_class_and_column() -> None:
    values = _values(6)
    found = class_z(values, _LABELS).numpy()
    means = np.stack([values[index == _LABELS].numpy().mean(axis=0) for index in range(4)])
    variances = np.stack([values[index == _LABELS].numpy().var(axis=0) for index in range(4)])
    for row in range(4):
        others = [other for other in range(4) if other != row]
        middle = np.median(means[others], axis=0)
        between = 1.4826 * np.median(np.abs(means[others] - middle), axis=0)
        error = np.sqrt(np.median(variances[others], axis=0) / 10 + between**2)
        np.testing.assert_allclose(found[row], (means[row] - middle) / error)


def test_a_class_that_is_higher_has_the_highest_z() -> None:
    values = torch.randn(40, 50, dtype=torch.double) + 2 * (_LABELS == 2).double()[:, None]
    z = class_z(values, _LABELS).median(dim=1).values
    assert int(z.argmax()) == 2
    assert z[2] > 3
    assert z[[0, 1, 3]].abs().max() < 2


def test_a_deviation_is_where_one_class_differs() -> None:
    images = torch.randn(400, 1, 8, 8, dtype=torch.double)
    labels = torch.arange(400) % 4
    images[labels == 1, :, 2:4, 5:7] += 2
    difference, z, within = list(deviations(*class_means(images, labels)))[1]
    stands_out = torch.zeros(1, 8, 8, dtype=torch.bool)
    stands_out[:, 2:4, 5:7] = True
    assert torch.equal(z > 6, stands_out)
    assert torch.equal(difference > 1, stands_out)
    torch.testing.assert_close(within, torch.ones_like(within), atol=0.4, rtol=0)


def test_what_all_classes_have_is_no_deviation() -> None:
    means = torch.rand(1, 2, 3, 3).expand(5, -1, -1, -1)
    difference, z, _ = next(deviations(means, torch.zeros(5, 2, 3, 3), torch.full((5,), 9)))
    assert torch.equal(difference, torch.zeros(2, 3, 3))
    assert torch.equal(z, torch.zeros(2, 3, 3))
