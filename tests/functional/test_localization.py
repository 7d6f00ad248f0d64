"""Mass and lift of a region against sums over Python lists, and the laws they obey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saliency_callbacks import functional
from saliency_callbacks.errors import ConfigurationError

MEASURES = [functional.region_mass, functional.region_lift]
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
    assert measure(maps, masks).dtype == torch.float32
    assert measure(maps, masks).item() == pytest.approx(1 / 3 if measure is functional.region_mass else 1, rel=1e-6)
