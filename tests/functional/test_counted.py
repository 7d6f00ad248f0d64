"""What does not count changes nothing, whatever it is and however much of it there is."""

from __future__ import annotations

import pytest
import scipy.stats
import torch

from saliency_callbacks.functional.counted import degenerate_counted, filled, normalize_counted
from saliency_callbacks.functional.maps import degenerate, normalize
from saliency_callbacks.functional.ranks import rank_counted, unit_ranks
from saliency_callbacks.functional.similarity import spearman_from_ranks


@pytest.fixture
def counted():
    return torch.tensor([[True] * 12, [True, False] * 6, [False] * 11 + [True], [False] * 12])


@pytest.fixture
def maps(counted):
    found = torch.rand(4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return found.masked_fill(~counted, torch.inf)


def test_filled(maps, counted):
    inside = filled(maps, counted)
    for row in range(3):
        chosen = maps[row][counted[row]]
        assert inside[row].amin() == chosen.amin()
        assert inside[row].amax() == chosen.amax()
        assert torch.equal(inside[row][counted[row]], chosen)
    assert torch.equal(inside[3], torch.zeros(12))


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_normalized_as_if_only_they_were_there(maps, counted, q):
    found = normalize_counted(maps, counted, q)
    for row in range(3):
        assert torch.equal(found[row][counted[row]], normalize(maps[row][counted[row]][None], q)[0])
    assert not found[~counted].any()


def test_a_value_that_is_not_finite_counts_where_it_counts(maps, counted):
    maps[0, 3] = torch.nan
    assert not normalize_counted(maps, counted)[0].any()
    assert degenerate_counted(maps, counted).tolist() == [True, False, False, True]


def test_constant_maps_are_degenerate_and_a_single_token_is_not(counted):
    maps = torch.arange(48.0).reshape(4, 12)
    maps[1, ::2] = 7
    assert degenerate_counted(maps, counted).tolist() == [False, True, False, True]
    maps[2, -1] = 0
    assert degenerate_counted(maps, counted)[2]
    assert torch.equal(degenerate_counted(maps[:1], counted[:1]), degenerate(maps[:1]))


def test_correlations_are_those_of_the_places_that_count(counted):
    generator = torch.Generator().manual_seed(1)
    # With ties.
    a, b = (torch.randint(0, 9, (2, 12), generator=generator).double() for _ in range(2))
    counted = counted[:2]
    expected = [
        scipy.stats.spearmanr(a[row][counted[row]], b[row][counted[row]]).statistic for row in range(len(counted))
    ]
    found = spearman_from_ranks(rank_counted(a, counted), rank_counted(b, counted))
    assert found.tolist() == pytest.approx(expected)
    products = (unit_ranks(a, counted) * unit_ranks(b, counted)).sum(1)
    assert products.tolist() == pytest.approx(expected, abs=1e-6)


def test_no_place_or_one_has_no_correlation(maps, counted):
    ranks = rank_counted(maps.masked_fill(~counted, 3.0), counted)
    assert spearman_from_ranks(ranks, ranks).isnan().tolist() == [False, False, True, True]
