"""Digests tell weights that differ in a single bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks.capture.weights import bits
from saliency_callbacks.capture.weights.bits import bit_sum
from saliency_callbacks.capture.weights.digests import weight_digests


@pytest.fixture(params=["checksum", "blocks"], autouse=True)
def sum_of_bits(request, monkeypatch):
    """On a CPU the checksum of processors, which must not be the slow one of Python; elsewhere a sum of blocks."""
    assert bits._reads_arrays()
    if request.param == "blocks":
        monkeypatch.setattr(bits, "_reads_arrays", lambda: False)


def _model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def _differing(model):
    now, before = weight_digests(model), weight_digests(_model())
    return {name for name in now if now[name] != before[name]}


def test_every_parameter_and_buffer_has_one():
    assert weight_digests(_model()).keys() == _model().state_dict().keys()
    assert all(weight_digests(_model()).values())
    assert _differing(_model()) == set()


def test_a_single_bit_is_seen():
    model = _model()
    model[0].weight.data.view(torch.int32)[1, 2] ^= 1
    assert _differing(model) == {"0.weight"}


def test_the_order_of_values_is_seen():
    model = _model()
    model[0].weight.data = model[0].weight.data.flip(0)
    assert _differing(model) == {"0.weight"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_another_precision_is_seen(dtype):
    assert _differing(_model().to(dtype)) == set(_model().state_dict()) - {"1.num_batches_tracked"}


def test_a_shape_is_seen():
    model = _model()
    model[0].weight.data = model[0].weight.data.view(4, 3).reshape(3, 4)
    assert "0.weight" in _differing(model)


def test_what_is_no_memory_has_an_empty_one():
    assert set(weight_digests(nn.Linear(2, 2, device="meta")).values()) == {""}


def test_a_weight_that_is_shared_is_named_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert set(weight_digests(model)) == {"0.weight", "0.bias", "1.bias"}


_LONG = torch.arange(5000.0 * 64).view(5000, 64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_signs_that_change_together_are_seen(dtype):
    values = torch.tensor([1, -2, -0.5, 3], dtype=dtype)
    assert bit_sum(values) != bit_sum(-values)


@pytest.mark.parametrize("distance", [64, 2048, 4093, 4096])
def test_rows_that_change_places_are_seen(distance):
    changed = _LONG.clone()
    changed[[0, distance]] = changed[[distance, 0]]
    assert bit_sum(changed) != bit_sum(_LONG)


def test_corners_of_a_rectangle_that_change_places_are_seen():
    """Sums of rows and of columns stay the same, however long a row is taken to be."""
    values = torch.zeros(4, 4096)
    values[0, 0] = values[2, 9] = 1.0
    changed = torch.zeros(4, 4096)
    changed[0, 9] = changed[2, 0] = 1.0
    assert bit_sum(changed) != bit_sum(values)


def test_the_sum_is_where_the_tensor_is_whatever_the_default_device():
    values = torch.tensor([1.0, 2.0])
    with torch.device("meta"):
        assert bit_sum(values).device == values.device
