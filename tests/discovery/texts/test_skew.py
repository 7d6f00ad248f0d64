"""Counting what one class bears more often, against SciPy."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from saliency_callbacks.discovery.texts.skew import count_skewed, shares_of, skews
from saliency_callbacks.functional.groups.skew import binomial_p_value, fisher_p_value
from tests.discovery.texts.cases import samples


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_binomial_test_is_scipys(share):
    bearing = torch.tensor([0, 1, 7, 20, 20])
    size = torch.tensor([20, 20, 20, 20, 33])
    expected = [stats.binom.sf(k - 1, n, share) for k, n in zip(bearing.tolist(), size.tolist(), strict=True)]
    found = binomial_p_value(bearing, size, torch.tensor(share, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-15)


def test_fishers_test_is_scipys():
    tables = torch.tensor([[5, 20, 1, 30], [0, 9, 4, 9], [64, 64, 0, 64], [40, 64, 38, 50]])
    expected = [
        stats.fisher_exact([[a, n - a], [b, m - b]], alternative="greater").pvalue for a, n, b, m in tables.tolist()
    ]
    found = fisher_p_value(*tables.T)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=1e-300)


def _labelled(n=60):
    labels = torch.arange(3).repeat_interleave(n)
    return samples(torch.full((3 * n, 4), 9), labels)


def _bearing(found, shares):
    """Let a share of each class bear something, of the samples that count as of those that propose."""
    bears = torch.zeros(found.size, dtype=torch.bool)
    for index, share in enumerate(shares):
        for among in (found.proposes, found.counts):
            members = found.of_class(index, among)
            bears[members[: round(share * len(members))]] = True
    return bears


def test_the_p_value_is_the_larger_of_chance_and_of_a_natural_difference():
    found = _labelled()
    count = count_skewed(_bearing(found, (0.5, 0.1, 0.2)), 0, found)
    by_chance = max(
        stats.fisher_exact([[20, 20], [other, 40 - other]], alternative="greater").pvalue for other in (4, 8)
    )
    by_nature = stats.binom.sf(19, 40, 0.2 + 0.1)
    assert count.p_value == pytest.approx(max(by_chance, by_nature), rel=1e-6)


def test_only_samples_that_did_not_propose_are_counted():
    found = _labelled()
    bears = torch.zeros(found.size, dtype=torch.bool)
    bears[found.of_class(0, found.proposes)] = True
    assert count_skewed(bears, 0, found) is None


def test_a_small_difference_is_none():
    found = _labelled()
    assert count_skewed(_bearing(found, (0.5, 0.35, 0.1)), 0, found) is None
    assert count_skewed(_bearing(found, (0.5, 0.25, 0.1)), 0, found) is not None
    assert count_skewed(_bearing(found, (0.5, 0.25, 0.1)), 1, found) is None


def test_shares_and_skews_are_those_of_the_samples_that_propose():
    found = _labelled()
    shares = shares_of([_bearing(found, (0.5, 0.25, 0.1))], found)
    torch.testing.assert_close(shares, torch.tensor([[0.5, 0.25, 0.1]], dtype=torch.float64))
    torch.testing.assert_close(skews(shares, 0), torch.tensor([0.25], dtype=torch.float64))
