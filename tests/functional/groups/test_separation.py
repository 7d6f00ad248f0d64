"""Cutting values into two groups, against the formula as it is written, for every cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.groups.separation import separation_of_one_group, two_groups


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_the_best_cut_of_all(seed: int, offset: float) -> None:
    values = np.random.default_rng(seed).normal(size=40).cumsum() + offset
    ordered = np.sort(values)
    cuts = range(5, 36)
    separations = [
        np.sqrt(2)
        * (ordered[cut:].mean() - ordered[:cut].mean())
        / np.sqrt(ordered[cut:].var(ddof=1) + ordered[:cut].var(ddof=1))
        for cut in cuts
    ]
    best = cuts[int(np.argmax(separations))]
    found = two_groups(torch.from_numpy(values), fewest=5)
    assert found.separation == pytest.approx(max(separations))
    assert found.lower == pytest.approx(ordered[:best].mean(), rel=1e-9)
    assert found.upper == pytest.approx(ordered[best:].mean(), rel=1e-9)


def test_two_normal_groups_are_those_of_a_mixture() -> None:
    draws = np.random.default_rng(0)
    values = np.concatenate([draws.normal(0, 1, 60), draws.normal(9, 1, 30)])
    mixture = GaussianMixture(2, random_state=0).fit(values[:, None])
    found = two_groups(torch.from_numpy(values), fewest=5)
    assert sorted(mixture.means_[:, 0]) == pytest.approx([found.lower, found.upper], abs=0.05)
    assert found.separation == pytest.approx(9, abs=1.5)


def test_one_group_is_never_far_apart() -> None:
    values = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    assert max(two_groups(row, fewest=5).separation for row in values) < 4


def test_scale_and_order_do_not_matter_and_the_middle_moves_along() -> None:
    values = torch.randn(30, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    found, other = two_groups(values, 3), two_groups(5 * values.flip(0) + 2, 3)
    assert other.separation == pytest.approx(found.separation)
    assert other.middle == pytest.approx(5 * found.middle + 2)


def test_equal_values_are_one_group_and_two_values_are_two() -> None:
    assert two_groups(torch.ones(20), 5).separation == 0
    found = two_groups(torch.tensor([0.0, 0, 0, 1, 1, 1]), 2)
    assert (found.separation, found.lower, found.upper) == (float("inf"), 0, 1)


@pytest.mark.parametrize(("n", "fewest"), [(9, 5), (4, 1), (0, 2)])
def test_too_few_values(n: int, fewest: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"{n} values cannot be split .* fewest={fewest}; give fewest=2"):
        two_groups(torch.zeros(n), fewest)


@pytest.mark.parametrize("n_values", [16, 32, 64, 128, 300])
def test_about_one_draw_of_ten_is_cut_further_apart_than_one_group(n_values: int) -> None:
    draws = torch.Generator().manual_seed(n_values)
    drawn = [two_groups(torch.rand(n_values, generator=draws), fewest=5).separation for _ in range(1000)]
    assert 0.04 < np.mean([one > separation_of_one_group(n_values) for one in drawn]) < 0.14
