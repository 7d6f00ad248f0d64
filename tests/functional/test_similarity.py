"""Correlations, cosine and overlap against SciPy, NumPy and brute force, and the laws they obey."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saliency_callbacks import functional
from saliency_callbacks.errors import ConfigurationError

COMPARISONS = [functional.pearson, functional.spearman, functional.cosine, functional.top_k_overlap]

# Whole numbers make ties likely and any monotone transform below exact.
tied = arrays(np.float64, st.tuples(st.just(3), st.integers(2, 30)), elements=st.integers(-6, 6).map(float))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def varies(values: np.ndarray) -> np.ndarray:
    return values.max(axis=1) > values.min(axis=1)


@given(tied)
def test_rank_is_scipys(values):
    expected = scipy.stats.rankdata(values, axis=1)
    assert functional.rank(torch.from_numpy(values)).tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_rank_counts_further_than_half_precision_can(dtype):
    values = (noise(2, 70_000) * 10).to(dtype)
    expected = scipy.stats.rankdata(values.double().numpy(), axis=1)
    np.testing.assert_array_equal(functional.rank(values).numpy(), expected)


def test_rank_treats_both_zeros_as_a_tie():
    assert functional.rank(torch.tensor([[0.0, -0.0, 1.0]])).tolist() == [[1.5, 1.5, 3.0]]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_rank_is_nan_only_for_the_sample_that_is_not_finite(bad):
    ranks = functional.rank(torch.tensor([[2.0, 1.0], [1.0, bad]]))
    assert ranks[0].tolist() == [2.0, 1.0]
    assert ranks[1].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [3, 10_000])
def test_unit_ranks_are_scipys_centred_and_scaled(dtype, levels):
    """With and without ties, and with a sample that is not finite beside."""
    values = torch.stack([torch.randperm(900, generator=torch.Generator().manual_seed(seed)) for seed in range(3)])
    values = (values % levels).to(dtype)
    values[1, 4] = torch.inf
    ranks = scipy.stats.rankdata(values.double().numpy(), axis=1) - 450.5
    expected = ranks / np.linalg.norm(ranks, axis=1, keepdims=True)
    found = functional.unit_ranks(values.reshape(3, 1, 30, 30))
    assert found.dtype == torch.float32
    assert found[1].isnan().all()
    np.testing.assert_allclose(found[[0, 2]].numpy(), expected[[0, 2]], rtol=1e-6)


def test_unit_ranks_of_no_positions():
    assert functional.unit_ranks(torch.zeros(3, 0)).shape == (3, 0)


def test_unit_ranks_of_a_map_that_is_zero_nearly_everywhere_are_scipys():
    """Nearly all of P³ - P is taken off for ties there."""
    values = torch.zeros(2, 1_000_000)
    values[0, 7], values[1, [3, 999_999]] = -1, torch.tensor([1.0, 2.0])
    ranks = scipy.stats.rankdata(values.numpy(), axis=1) - 500_000.5
    expected = ranks / np.linalg.norm(ranks, axis=1, keepdims=True)
    np.testing.assert_allclose(functional.unit_ranks(values).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (1000, 1), (0, 1e-30), (0, 1e15)])
def test_pearson_is_numpys_for_a_million_values_in_single_precision(offset, scale):
    a = (noise(1, 1_000_000) * scale + offset).float()
    b = (a.double() + noise(1, 1_000_000, seed=1) * scale).float()
    expected = np.corrcoef(a[0].double().numpy(), b[0].double().numpy())[0, 1]
    assert functional.pearson(a, b).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pearson_of_half_precision_is_computed_in_double(dtype):
    a = (noise(1, 10_000) + 10).to(dtype)
    b = (a.double() + noise(1, 10_000, seed=1)).to(dtype)
    expected = np.corrcoef(a[0].double().numpy(), b[0].double().numpy())[0, 1]
    assert functional.pearson(a, b).item() == pytest.approx(expected, abs=1e-6)


def test_pearson_of_values_whose_squares_underflow():
    a = noise(2, 100) * 1e-200
    np.testing.assert_allclose(functional.pearson(a, 3 * a).numpy(), 1, rtol=1e-12)


@given(tied, st.randoms(use_true_random=False))
def test_spearman_is_scipys(values, shuffler):
    other = np.array([shuffler.sample(list(row), len(row)) for row in values])
    result = functional.spearman(torch.from_numpy(values), torch.from_numpy(other)).numpy()
    for row, (a, b) in enumerate(zip(values, other, strict=True)):
        if varies(values)[row]:
            assert result[row] == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)
        else:
            assert np.isnan(result[row])


@pytest.mark.parametrize("spatial", [(9,), (5, 6), (3, 4, 5)])
def test_spearman_takes_maps_of_any_dimension(spatial):
    a, b = noise(4, *spatial), noise(4, *spatial, seed=1)
    for absolute in (False, True):
        reading = np.abs if absolute else np.asarray
        expected = [
            scipy.stats.spearmanr(reading(x).ravel(), reading(y).ravel()).statistic
            for x, y in zip(a.numpy(), b.numpy(), strict=True)
        ]
        np.testing.assert_allclose(functional.spearman(a, b, absolute=absolute).numpy(), expected, atol=1e-12)


@given(tied)
def test_spearman_laws(values):
    a = torch.from_numpy(values[varies(values)])
    b = a.roll(1, dims=1)
    one = torch.ones(len(a), dtype=torch.float64)
    assert functional.spearman(a, a).tolist() == one.tolist()
    assert functional.spearman(a, -a).tolist() == (-one).tolist()
    torch.testing.assert_close(functional.spearman(a, b), functional.spearman(b, a))
    torch.testing.assert_close(functional.spearman(a.exp(), b**3), functional.spearman(a, b))
    from_ranks = functional.spearman_from_ranks(functional.rank(a), functional.rank(b))
    torch.testing.assert_close(from_ranks, functional.spearman(a, b))


@given(tied)
def test_absolute_spearman_does_not_see_a_sign_flip(values):
    a = torch.from_numpy(values)
    expected = torch.where(torch.from_numpy(varies(np.abs(values))), 1.0, torch.nan).double()
    torch.testing.assert_close(functional.spearman(a, -a, absolute=True), expected, equal_nan=True, rtol=0, atol=0)


@given(tied)
def test_cosine_is_scipys(values):
    other = np.roll(values, 1, axis=1) + 0.5
    result = functional.cosine(torch.from_numpy(values), torch.from_numpy(other)).numpy()
    for row, (a, b) in enumerate(zip(values, other, strict=True)):
        if varies(values)[row]:
            assert result[row] == pytest.approx(1 - scipy.spatial.distance.cosine(a, b), abs=1e-12)
        else:
            assert np.isnan(result[row])


@given(tied)
def test_cosine_laws(values):
    a = torch.from_numpy(values[varies(values)])
    b = a.roll(1, dims=1)
    one = torch.ones(len(a), dtype=torch.float64)
    torch.testing.assert_close(functional.cosine(a, a), one)
    torch.testing.assert_close(functional.cosine(a, -a), -one)
    torch.testing.assert_close(functional.cosine(a, b), functional.cosine(b, a))
    torch.testing.assert_close(functional.cosine(3 * a, b / 7), functional.cosine(a, b))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_cosine_of_values_whose_squares_leave_the_number_range(scale):
    a = noise(2, 100) * scale
    np.testing.assert_allclose(functional.cosine(a, 3 * a).numpy(), 1, rtol=1e-12)


def test_cosine_of_half_precision_is_computed_in_double():
    a = (noise(1, 100_000) + 10).bfloat16()
    b = (a.double() + noise(1, 100_000, seed=1)).bfloat16()
    expected = 1 - scipy.spatial.distance.cosine(a[0].double().numpy(), b[0].double().numpy())
    assert functional.cosine(a, b).item() == pytest.approx(expected, abs=1e-6)


def top_k_chances(values: np.ndarray, k: int) -> np.ndarray:
    """How often each place is in the top k, over all orders in which ties can be broken."""
    orders = [np.lexsort((tie_break, -values))[:k] for tie_break in itertools.permutations(range(len(values)))]
    return np.bincount(np.concatenate(orders), minlength=len(values)) / len(orders)


@given(arrays(np.float64, (2, 5), elements=st.integers(0, 3).map(float)), st.integers(1, 5))
def test_top_k_overlap_is_brute_force_over_all_ways_to_break_ties(values, k):
    a, b = values
    result = functional.top_k_overlap(torch.from_numpy(a)[None], torch.from_numpy(b)[None], fraction=k / 5).item()
    if varies(values).all():
        assert result == pytest.approx(np.minimum(top_k_chances(a, k), top_k_chances(b, k)).sum() / k, abs=1e-12)
    else:
        assert np.isnan(result)


@pytest.mark.parametrize("spatial", [(9,), (10, 25), (3, 4, 5)])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 1.0])
def test_top_k_overlap_without_ties_counts_common_places(spatial, fraction):
    a, b = noise(4, *spatial), noise(4, *spatial, seed=1)
    k = max(1, round(fraction * a[0].numel()))
    expected = [
        len(np.intersect1d(np.argsort(x.ravel())[-k:], np.argsort(y.ravel())[-k:])) / k
        for x, y in zip(a.numpy(), b.numpy(), strict=True)
    ]
    np.testing.assert_allclose(functional.top_k_overlap(a, b, fraction=fraction).numpy(), expected, atol=1e-12)


def test_top_k_overlap_is_of_a_tenth_by_default():
    a, b = noise(3, 500), noise(3, 500, seed=1)
    assert torch.equal(functional.top_k_overlap(a, b), functional.top_k_overlap(a, b, fraction=0.1))


@given(tied, st.floats(0.01, 1))
def test_top_k_overlap_laws(values, fraction):
    def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return functional.top_k_overlap(a, b, fraction=fraction)

    a = torch.from_numpy(values[varies(values)])
    b = a.roll(1, dims=1)
    torch.testing.assert_close(overlap(a, a), torch.ones(len(a), dtype=torch.float64))
    torch.testing.assert_close(overlap(a, b), overlap(b, a))
    torch.testing.assert_close(overlap(a.exp(), b**3), overlap(a, b))
    assert ((overlap(a, b) >= 0) & (overlap(a, b) <= 1)).all()


@pytest.mark.parametrize("fraction", [-0.1, 0, 1.01, 10, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(ConfigurationError, match=rf"fraction={fraction} is outside \(0, 1\]"):
        functional.top_k_overlap(noise(2, 9), noise(2, 9), fraction=fraction)


@pytest.mark.parametrize("similarity", COMPARISONS)
def test_samples_do_not_interact(similarity):
    a, b = noise(5, 40), noise(5, 40, seed=1)
    a[2] = torch.nan
    b[3] = 1.0
    together = similarity(a, b)
    alone = torch.cat([similarity(a[[row]], b[[row]]) for row in range(5)])
    torch.testing.assert_close(together, alone, equal_nan=True)
    assert together.isnan().tolist() == [False, False, True, True, False]
    assert similarity(a[:0], b[:0]).shape == (0,)


@pytest.mark.parametrize("similarity", COMPARISONS)
@pytest.mark.parametrize("bad", [0.1, 0.0, torch.nan, torch.inf])
def test_a_map_that_shows_nothing_is_similar_to_nothing(similarity, bad):
    good = noise(2, 1000)
    broken = good.clone()
    broken[1] = bad
    if not np.isfinite(bad):
        broken[1, 1:] = good[1, 1:]
    for result in (similarity(good, broken), similarity(broken, good), similarity(broken, broken)):
        assert result[0].item() == pytest.approx(1, abs=1e-12)
        assert result[1].isnan()


@pytest.mark.parametrize("similarity", COMPARISONS)
@pytest.mark.parametrize(
    ("given_dtype", "dtype"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_similarity_has_at_least_single_precision(similarity, given_dtype, dtype):
    maps = noise(2, 50).to(given_dtype)
    assert similarity(maps, maps).dtype == dtype


@pytest.mark.parametrize("similarity", [*COMPARISONS, functional.spearman_from_ranks])
def test_shapes_that_differ_are_refused(similarity):
    with pytest.raises(ConfigurationError, match=r"\(2, 9\).*\(1, 9\)"):
        similarity(torch.ones(2, 9), torch.ones(1, 9))
