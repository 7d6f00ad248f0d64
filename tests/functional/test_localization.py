"""How maps relate to a region, against sums over Python lists and scikit-learn, and the laws they obey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from saliency_callbacks import functional
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.localization import pointing_game, rank_accuracy, region_auc

MEASURES = [functional.region_mass, functional.region_lift, rank_accuracy, pointing_game, region_auc]
whole_numbers = arrays(np.float64, (3, 4, 5), elements=st.integers(0, 9).map(float))
regions = arrays(np.bool_, (3, 4, 5))


def mass_twin(values: np.ndarray, region: np.ndarray) -> float:
    total, inside = 0.0, 0.0
    for value, share in zip(values.ravel().tolist(), region.ravel().tolist(), strict=True):
        total += value
        inside += value * share
    return inside / total if total > 0 and region.any() else np.nan


@given(whole_numbers, regions)
def test_mass_and_lift_are_their_formulas(values, masks):
    maps, masks_tensor = torch.from_numpy(values), torch.from_numpy(masks)
    mass = [mass_twin(value, mask) for value, mask in zip(values, masks, strict=True)]
    lift = [m / (mask.sum() / mask.size) if mask.any() else np.nan for m, mask in zip(mass, masks, strict=True)]
    np.testing.assert_allclose(functional.region_mass(maps, masks_tensor).numpy(), mass, atol=1e-12)
    np.testing.assert_allclose(functional.region_lift(maps, masks_tensor).numpy(), lift, atol=1e-12)


@given(arrays(np.float64, (3, 4, 5), elements=st.floats(0.1, 9)), regions)
def test_a_region_and_its_complement_share_the_whole_mass(values, masks):
    maps, inside = torch.from_numpy(values), torch.from_numpy(masks)
    both = functional.region_mass(maps, inside) + functional.region_mass(maps, ~inside)
    proper = inside.flatten(1).any(dim=1) & ~inside.flatten(1).all(dim=1)
    torch.testing.assert_close(both[proper], torch.ones_like(both[proper]))


@pytest.mark.parametrize("spatial", [(8,), (4, 4), (2, 4, 2)])
def test_a_flat_map_ignores_every_region(spatial):
    masks = torch.zeros(2, *spatial, dtype=torch.bool)
    masks[(slice(None), *[slice(0, 2)] * len(spatial))] = True
    torch.testing.assert_close(functional.region_lift(torch.full((2, *spatial), 3.0), masks), torch.ones(2))


def test_a_soft_mask_counts_in_part():
    maps, masks = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, 0.0]])
    assert functional.region_mass(maps, masks).tolist() == [0.125]
    assert functional.region_lift(maps, masks).tolist() == [0.5]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("bad", [[0.0, 0.0], [-1.0, 2.0], [torch.nan, 1.0], [1.0, torch.inf]])
def test_a_map_without_shares_is_nan(measure, bad):
    result = measure(torch.tensor([bad, [1.0, 3.0]]), torch.tensor([[True, False]] * 2))
    assert result.isnan().tolist() == [True, False]


@pytest.mark.parametrize("measure", MEASURES)
def test_an_empty_region_is_nan(measure):
    masks = torch.tensor([[False, False], [True, False]])
    assert measure(torch.ones(2, 2), masks).isnan().tolist() == [True, False]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 1, 4, 4), (2, 8, 8), (4, 4)])
def test_masks_of_another_shape_are_refused(measure, shape):
    with pytest.raises(ConfigurationError) as error:
        measure(torch.ones(2, 4, 4), torch.ones(shape))
    assert str(tuple(shape)) in str(error.value)
    assert "(2, 4, 4)" in str(error.value)


@pytest.mark.parametrize("measure", MEASURES)
def test_half_precision_is_summed_in_full(measure):
    maps = torch.full((1, 300, 300), 7.0, dtype=torch.float16)
    masks = torch.zeros(1, 300, 300, dtype=torch.bool)
    masks[:, :, :100] = True
    of_a_flat_map = {functional.region_lift: 1, pointing_game: 0, region_auc: 0.5}
    assert measure(maps, masks).dtype == torch.float32
    assert measure(maps, masks).item() == pytest.approx(of_a_flat_map.get(measure, 1 / 3), rel=1e-6)


def rank_accuracy_twin(values: np.ndarray, region: np.ndarray) -> float:
    """Expectation over all orders of the tied places: from the top, each run of ties fills what is left of |M|."""
    order = sorted(zip(values.ravel().tolist(), region.ravel().tolist(), strict=True), reverse=True)
    size, taken, hits = int(region.sum()), 0, 0.0
    for value in sorted({value for value, _ in order}, reverse=True):
        tied = [inside for other, inside in order if other == value]
        drawn = min(len(tied), size - taken)
        hits += drawn * sum(tied) / len(tied)
        taken += drawn
    return hits / size if size and values.any() else np.nan


@given(whole_numbers, regions)
def test_rank_accuracy_is_its_formula(values, masks):
    expected = [rank_accuracy_twin(value, mask) for value, mask in zip(values, masks, strict=True)]
    found = rank_accuracy(torch.from_numpy(values), torch.from_numpy(masks)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(whole_numbers, regions)
def test_the_pointing_game_is_won_by_one_highest_place_inside(values, masks):
    found = pointing_game(torch.from_numpy(values), torch.from_numpy(masks)).tolist()
    for value, mask, result in zip(values, masks, found, strict=True):
        if not value.any() or not mask.any():
            assert np.isnan(result)
        else:
            wins = (value == value.max()).sum() == 1 and mask.ravel()[value.argmax()]
            assert result == float(wins)


@given(whole_numbers, regions)
def test_the_auc_is_that_of_scikit_learn(values, masks):
    found = region_auc(torch.from_numpy(values), torch.from_numpy(masks)).tolist()
    for value, mask, result in zip(values, masks, found, strict=True):
        if not value.any() or not mask.any() or mask.all():
            assert np.isnan(result)
        else:
            assert result == pytest.approx(roc_auc_score(mask.ravel(), value.ravel()), abs=1e-12)


@given(arrays(np.float64, (2, 12), elements=st.integers(0, 9).map(float)), arrays(np.bool_, (2, 12)))
def test_only_the_order_of_the_places_matters_to_ranks(values, masks):
    maps, regions_tensor = torch.from_numpy(values), torch.from_numpy(masks)
    for measure in (rank_accuracy, pointing_game, region_auc):
        expected = measure(maps, regions_tensor)
        torch.testing.assert_close(measure(maps**3, regions_tensor), expected, equal_nan=True)


def test_a_tied_maximum_fails_even_inside():
    maps, masks = torch.tensor([[3.0, 3.0, 1.0]]), torch.tensor([[True, True, False]])
    assert pointing_game(maps, masks).tolist() == [0.0]
    assert rank_accuracy(maps, masks).tolist() == [1.0]


def test_a_place_with_half_a_share_belongs_to_the_region():
    maps, masks = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[0.5, 0.49, 1.0, 0.0]])
    hard = torch.tensor([[True, False, True, False]])
    for measure in (rank_accuracy, pointing_game, region_auc):
        assert torch.equal(measure(maps, masks), measure(maps, hard))


def test_a_region_that_is_everything():
    maps, masks = torch.tensor([[2.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool)
    assert rank_accuracy(maps, masks).tolist() == [1.0]
    assert pointing_game(maps, masks).tolist() == [1.0]
    assert region_auc(maps, masks).isnan().all()
