"""What NumPy computes is what torch computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from saliency_callbacks.arrays.resampling import area_mean, display_maps, linear, nearest
from saliency_callbacks.arrays.scales import Extremes, finite, full_color, percentile
from saliency_callbacks.functional import degenerate as degenerate_of_tensors
from saliency_callbacks.functional import percentile as percentile_of_tensors
from saliency_callbacks.rendering import display_maps as display_maps_of_tensors

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def maps(*spatial, seed=0):
    return torch.randn(3, *spatial, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("old", "new"),
    [((7,), (32,)), ((40,), (9,)), ((7, 7), (32, 32)), ((5, 9), (14, 4)), ((1, 3), (8, 8)), ((2, 3, 4), (6, 7, 5))],
)
def test_linear(old, new):
    values = maps(*old)
    expected = interpolate(values[:, None], size=new, mode=MODES[len(old)], align_corners=False)[:, 0]
    np.testing.assert_allclose(linear(values.numpy(), new), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new"), [((32, 32), (7, 7)), ((30, 20), (9, 20)), ((300, 5), (256, 3)), ((8, 8), (1, 1))]
)
def test_area_mean(old, new):
    values = maps(*old)
    expected = torch.nn.functional.adaptive_avg_pool2d(values[:, None], new)[:, 0]
    np.testing.assert_allclose(area_mean(values.numpy(), new), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [((7, 7), (32, 33)), ((3, 5), (3, 11)), ((14, 14), (224, 224))])
def test_nearest(old, new):
    values = maps(*old)
    expected = interpolate(values[:, None], size=new, mode="nearest-exact")[:, 0]
    np.testing.assert_array_equal(nearest(values.numpy(), new), expected.numpy())


@pytest.mark.parametrize("shape", [(40,), (5,), (16, 16), (7, 9), (40, 30), (4, 6, 6), (5, 40, 40)])
def test_display_maps(shape):
    values = maps(*shape)
    found = display_maps(values.numpy(), (16, 16))
    np.testing.assert_allclose(found, display_maps_of_tensors(values, (16, 16)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("q", [0.0, 0.07, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("count", [1, 99, 100, 101, 1000])
def test_percentile(q, count):
    values = maps(count)
    np.testing.assert_array_equal(percentile(values.numpy(), q), percentile_of_tensors(values, q).numpy())


def test_the_full_color_of_a_sparse_map_is_its_largest_value():
    values = torch.zeros(2, 200)
    values[0, 3], values[1, :5] = -4.0, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    assert full_color(values.numpy()).tolist() == [4.0, percentile_of_tensors(values, 0.99)[1]]


@pytest.mark.parametrize("spatial", [(1,), (99,), (101,), (30, 40)])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.995, 1.0])
def test_the_full_color_is_that_of_absolute_values(spatial, zeros):
    values = maps(*spatial) * (torch.rand(3, *spatial, generator=torch.Generator().manual_seed(1)) >= zeros)
    before = values.clone()
    expected = []
    for one in values:
        ordered = sorted(one.abs().flatten().tolist())
        at = ordered[math.ceil(99 * len(ordered) / 100) - 1]
        expected.append(at if at > 0 else ordered[-1])
    assert full_color(values.numpy()).tolist() == expected
    assert torch.equal(values, before), "what is given is not put in order"


def test_the_largest_absolute_value_is_found_on_either_side():
    values = torch.tensor([[1.0, -3.0], [3.0, -1.0], [-2.0, -3.0], [-0.0, -0.0], [float("nan"), -9.0]])
    expected = values.abs().amax(1)
    np.testing.assert_array_equal(Extremes.of(values.numpy()).largest, expected.numpy())


def test_degenerate_and_finite():
    values = torch.tensor([[0.0, 1.0], [2.0, 2.0], [float("nan"), 1.0], [float("inf"), 1.0], [0.0, 0.0]])
    assert Extremes.of(values.numpy()).degenerate.tolist() == degenerate_of_tensors(values).tolist()
    assert finite(values.numpy()).tolist() == torch.nan_to_num(values, nan=0.0, posinf=0.0).tolist()
