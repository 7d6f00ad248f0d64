"""Channel reduction, resizing and scaling of maps, against NumPy and PyTorch's own interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from saliency_callbacks import functional
from saliency_callbacks.errors import ConfigurationError

SPATIAL = [(7,), (5, 6), (3, 4, 5)]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TWINS = {
    "abs_max": lambda v: np.abs(v).max(axis=1),
    "positive_max": lambda v: np.maximum(v, 0).max(axis=1),
    "l2": lambda v: np.sqrt((v**2).sum(axis=1)),
    "abs_sum": lambda v: np.abs(v).sum(axis=1),
    "sum": lambda v: np.abs(v.sum(axis=1)),
}
maps_with_zeros = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6),
    elements=st.one_of(st.just(0.0), st.floats(0, 1e30)),
)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("spatial", SPATIAL)
@pytest.mark.parametrize("reduction", TWINS)
def test_reduce_channels_is_its_formula(reduction, spatial):
    values = random(4, 3, *spatial)
    expected = TWINS[reduction](values.numpy())
    np.testing.assert_allclose(functional.reduce_channels(values, reduction).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("reduction", TWINS)
def test_reduce_channels_keeps_dtype_and_shows_nan(reduction):
    values = random(2, 3, 4, dtype=torch.float16)
    values[1, 2, 3] = torch.nan
    reduced = functional.reduce_channels(values, reduction)
    assert reduced.dtype == torch.float16
    assert reduced.isnan().nonzero().tolist() == [[1, 3]]


def test_reduce_channels_l2_does_not_overflow_in_half_precision():
    assert functional.reduce_channels(torch.full((1, 3, 2), 300.0, dtype=torch.float16), "l2").isfinite().all()


def test_reduce_channels_names_the_nearest_reduction():
    with pytest.raises(ConfigurationError, match=r"'abs_mx'.*'abs_max'"):
        functional.reduce_channels(torch.zeros(1, 1, 1), "abs_mx")


@pytest.mark.parametrize("spatial", SPATIAL)
def test_signed_map_sums_channels(spatial):
    values = random(4, 3, *spatial)
    np.testing.assert_allclose(functional.signed_map(values).numpy(), values.numpy().sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("spatial", "size", "mode"),
    [((7,), (12,), "linear"), ((5, 6), (9, 4), "bilinear"), ((3, 4, 5), (6, 3, 8), "trilinear")],
)
def test_resize_is_linear_interpolation_of_pixel_areas(spatial, size, mode, dtype):
    maps = random(3, *spatial, dtype=dtype)
    expected = F.interpolate(maps.unsqueeze(1), size=size, mode=mode, align_corners=False).squeeze(1)
    torch.testing.assert_close(functional.resize(maps, size), expected, rtol=0, atol=0)


def test_resize_to_the_same_size_is_the_identity():
    maps = random(2, 5, 6)
    assert functional.resize(maps, torch.Size([5, 6])) is maps


@pytest.mark.parametrize(
    ("spatial", "size"), [((5, 6), (5,)), ((5,), (5, 5)), ((5, 6), (0, 6)), ((), ()), ((2,) * 4, (3,) * 4)]
)
def test_resize_refuses_a_size_that_does_not_fit(spatial, size):
    with pytest.raises(ConfigurationError, match="cannot resize"):
        functional.resize(torch.zeros(2, *spatial), size)


@pytest.mark.parametrize("q", [0, 0.01, 0.07, 0.25, 0.5, 0.75, 0.99, 0.995, 1])
@pytest.mark.parametrize("shape", [(3, 1), (2, 97), (3, 10, 10), (2, 4, 5, 5)])
def test_percentile_is_the_nearest_rank(shape, q):
    maps = random(*shape)
    ascending = np.sort(maps.numpy().reshape(shape[0], -1), axis=1)
    # In thousandths, so that the rank ⌈q·P⌉ is found in integers.
    smallest = max(1, -(-round(q * 1000) * ascending.shape[1] // 1000))
    assert functional.percentile(maps, q).tolist() == ascending[:, smallest - 1].tolist()


@given(arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 40)), elements=st.floats(-1e9, 1e9)))
def test_percentile_agrees_with_numpy_at_binary_fractions(values):
    for q in (0.0, 0.125, 0.5, 0.875, 1.0):
        expected = np.quantile(values, q, axis=1, method="inverted_cdf")
        assert functional.percentile(torch.from_numpy(values), q).tolist() == expected.tolist()


def test_percentile_of_more_values_than_quantile_accepts():
    count = 17_000_000
    maps = torch.arange(count, dtype=torch.float32).flip(0).reshape(1, 1000, -1)
    assert functional.percentile(maps, 0.99).item() == torch.tensor(count * 99 // 100 - 1, dtype=torch.float32).item()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_percentile_is_nan_only_for_the_sample_that_is_not_finite(bad, dtype):
    maps = torch.ones(3, 4, 4, dtype=dtype)
    maps[1, 2, 2] = bad
    result = functional.percentile(maps, 0.5)
    assert result.dtype == dtype
    assert result.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("q", [-0.1, 1.1, 99, float("nan")])
def test_percentile_refuses_what_is_not_a_fraction(q):
    with pytest.raises(ConfigurationError, match="outside"):
        functional.percentile(torch.ones(1, 4), q)


@given(maps_with_zeros)
def test_normalize_is_within_zero_and_one_and_keeps_order(values):
    maps = torch.from_numpy(values)
    normal = functional.normalize(maps)
    assert normal.shape == maps.shape
    assert ((normal >= 0) & (normal <= 1)).all()
    flat, normal = maps.flatten(1), normal.flatten(1)
    order = flat.argsort(dim=1)
    assert (normal.gather(1, order).diff(dim=1) >= 0).all()
    assert ((normal.amax(dim=1) == 1) == (flat.amax(dim=1) > 0)).all()


def test_normalize_clips_at_the_percentile():
    maps = torch.arange(1.0, 101.0).reshape(1, 10, 10)
    expected = np.clip(maps.numpy() / 90.0, 0, 1)
    np.testing.assert_allclose(functional.normalize(maps, 0.9).numpy(), expected, rtol=1e-6)


def test_normalize_scales_a_sparse_map_by_its_maximum():
    maps = torch.zeros(1, 20, 20)
    maps[0, 3, 4], maps[0, 5, 6] = 2.0, 8.0
    assert functional.normalize(maps)[0, 3, 4] == 0.25
    assert functional.normalize(maps)[0, 5, 6] == 1.0


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 0.0])
def test_normalize_draws_nothing_for_a_map_without_a_picture(bad):
    maps = torch.ones(2, 3, 3, dtype=torch.float16)
    maps[1] = 0
    maps[1, 0, 0] = bad
    maps[1, 1, 1] = 0 if bad == 0 else 1
    normal = functional.normalize(maps)
    assert normal.dtype == torch.float16
    assert normal[0].eq(1).all()
    assert normal[1].eq(0).all()


def test_normalize_leaves_its_input_alone():
    maps = torch.tensor([[1.0, torch.nan], [2.0, 5.0]])
    before = maps.clone()
    functional.normalize(maps)
    torch.testing.assert_close(maps, before, equal_nan=True, rtol=0, atol=0)


def test_degenerate_names_constant_and_non_finite_maps():
    maps = torch.tensor([[0.0, 0.0], [3.0, 3.0], [1.0, 2.0], [torch.nan, 1.0], [torch.inf, 1.0], [-torch.inf, 0.0]])
    assert functional.degenerate(maps[:, None]).tolist() == [True, True, False, True, True, True]


def test_distribution_divides_by_the_sum():
    maps = random(3, 4, 5).abs()
    expected = maps.numpy() / maps.numpy().sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(functional.distribution(maps).numpy(), expected, rtol=1e-12)


def test_distribution_of_an_overflowing_sum():
    assert functional.distribution(torch.full((1, 4), 1e308, dtype=torch.float64)).tolist() == [[0.25] * 4]


@pytest.mark.parametrize("bad", [[0.0, 0.0], [-1.0, 2.0], [torch.nan, 1.0], [torch.inf, 1.0]])
def test_distribution_is_nan_for_a_map_without_shares(bad):
    result = functional.distribution(torch.tensor([bad, [1.0, 3.0]]))
    assert result[0].isnan().all()
    assert result[1].tolist() == [0.25, 0.75]
