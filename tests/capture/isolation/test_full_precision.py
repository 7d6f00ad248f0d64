"""Half-precision models run in float32 as their float32 twins do, and come back byte for byte."""

from __future__ import annotations

import contextlib
import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.isolation.full_precision import full_precision, undone, widened
from saliency_callbacks.errors import ConfigurationError

HALVES = (torch.float16, torch.bfloat16)


class Tied(nn.Module):
    """Has tied weights, a buffer, a plain tensor, the type that it casts to, and a recurrent layer."""

    def __init__(self, dtype):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.recurrent = nn.LSTM(4, 3, batch_first=True)
        self.scaled = parametrizations.weight_norm(nn.Linear(3, 2))
        self.to(dtype)
        self.offset = torch.arange(4.0, dtype=dtype)
        self.several = [self.offset, "kept"]
        self.dtype = dtype

    def forward(self, x):
        x = self.norm(self.second(self.first(x.to(self.dtype)))) + self.offset + self.several[0]
        return self.scaled(self.recurrent(x[:, None])[0][:, 0])


def identities(model):
    tensors = [*model.parameters(), *model.buffers(), model.offset, *model.recurrent._flat_weights]
    return [(id(tensor), tensor.data_ptr(), tensor.dtype, tensor._version) for tensor in tensors]


def contents(model):
    return [tensor.detach().view(torch.int16).clone() for tensor in model.parameters() if tensor.dtype in HALVES]


def twin(model):
    """The same values in float32, made by torch itself."""
    other = copy.deepcopy(model).float()
    other.offset, other.dtype = model.offset.float(), torch.float32
    other.several = [other.offset, "kept"]
    return other.eval()


@pytest.mark.parametrize("dtype", HALVES)
def test_equals_the_float32_twin_and_leaves_no_trace(dtype):
    torch.manual_seed(0)
    model = Tied(dtype)
    inputs = torch.randn(5, 4)
    before, content, names = identities(model), contents(model), list(model.state_dict())
    expected = twin(model)(inputs)
    with quiescence(model), full_precision(model):
        found = model(inputs)
        assert model.first.weight is model.second.weight
        assert model.recurrent._flat_weights[0] is model.recurrent.weight_ih_l0
        assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert identities(model) == before
    assert list(model.state_dict()) == names
    assert all(torch.equal(one, other) for one, other in zip(contents(model), content, strict=True))
    assert model.dtype == dtype
    assert model.several[0] is model.offset


def test_comes_back_after_an_exception():
    model = Tied(torch.bfloat16)
    before = identities(model)

    def interrupted():
        with full_precision(model):
            model.norm.running_mean += 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert identities(model) == before
    assert not model.norm.running_mean.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_precisions_stay(dtype):
    model = nn.Linear(3, 2).to(dtype)
    weight = model.weight
    with full_precision(model):
        assert model.weight is weight


def test_frozen_parameters_stay_frozen():
    model = nn.Linear(3, 2).half()
    model.weight.requires_grad_(False)
    with full_precision(model):
        assert (model.weight.requires_grad, model.bias.requires_grad) == (False, True)


class Sharded(torch.Tensor):
    """Stands for the tensor classes of libraries."""


def test_what_cannot_be_replaced_is_named():
    model = nn.Sequential(nn.Linear(3, 2))
    model[0].register_buffer("shard", torch.ones(2).half().as_subclass(Sharded))
    with pytest.raises(ConfigurationError, match=r"'0\.shard' is a Sharded in torch\.float16.*precision='trainer'"):
        full_precision(model).__enter__()


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script.*:FutureWarning", "ignore:.*torch.jit.script.*:DeprecationWarning"
)
def test_torchscript_in_half_precision_is_named():
    script = torch.jit.script(nn.Linear(3, 2).bfloat16())
    with pytest.raises(ConfigurationError, match=r"'0\.weight' belongs to TorchScript"):
        full_precision(nn.Sequential(script)).__enter__()


@pytest.mark.parametrize("dtype", HALVES)
def test_autocast_is_undone(dtype):
    linear, inputs = nn.Linear(3, 2), torch.rand(1, 3)
    with undone(partial(torch.autocast, "cpu", dtype), frozenset({"cpu"})):
        assert linear(inputs).dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("default", "expected"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)], ids=str
)
def test_the_default_type_is_at_least_float32(default, expected):
    @contextlib.contextmanager
    def with_default():
        torch.set_default_dtype(default)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)

    with undone(with_default, frozenset()):
        assert torch.zeros(1).dtype == expected
    assert torch.zeros(1).dtype == torch.float32


def test_inputs_are_widened():
    ids = torch.arange(3)
    found = widened({"image": torch.ones(2).half(), "ids": ids, "more": (torch.ones(1).bfloat16(), 3), "on": True})
    assert found["image"].dtype == found["more"][0].dtype == torch.float32
    assert found["ids"] is ids
    assert (found["more"][1], found["on"]) == (3, True)
