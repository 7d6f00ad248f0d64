"""What a forward leaves on its modules is gone afterwards."""

from __future__ import annotations

import copy
import weakref
from collections import defaultdict, deque

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.isolation.context import quiescence


class Remembering(nn.Module):
    """Changes its plain attributes in every way there is."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.calls, self.cache, self.removed = 0, None, "here"
        self.total, self.rebound = torch.zeros(2), torch.zeros(2)
        self.items, self.table, self.seen = [], {"kept": 1}, set()
        self.lists, self.recent = defaultdict(list), deque([1], maxlen=1)

    def __setattr__(self, name, value):
        if name == "calls" and getattr(self, "calls", 0) > value:
            raise AttributeError("calls only grow")
        super().__setattr__(name, value)

    def forward(self, x):
        features = self.conv(x)
        self.calls += 1
        self.cache = self.added = features
        self.total += 1
        self.rebound = self.rebound + 1
        self.items.append(features)
        self.table["features"] = self.lists["features"] = features
        self.seen.add(len(x))
        self.recent.append(features)
        if hasattr(self, "removed"):
            del self.removed
        return self.head(features.mean((2, 3)))


def attributes_of(model):
    return {name: value for name, value in vars(model).items() if name not in vars(nn.Module())}


@pytest.fixture
def inputs():
    return torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fails", [False, True])
def test_plain_attributes_come_back(inputs, fails):
    model = Remembering()
    before = attributes_of(model)
    if fails:
        with pytest.raises(ZeroDivisionError):
            explain(model, inputs, target=lambda output: 1 / 0)
    else:
        explain(model, inputs, methods=["gradient", "layer_cam"], target=0)
    after = attributes_of(model)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert (model.calls, model.items, model.table, model.seen) == (0, [], {"kept": 1}, set())
    assert (model.lists, model.recent) == ({}, deque([1]))
    assert not model.total.any()
    copy.deepcopy(model)


def test_nothing_keeps_the_graph_alive(inputs):
    graphs = []
    model = Remembering()
    model.head.register_forward_pre_hook(lambda module, args: graphs.append(weakref.ref(args[0])))
    explain(model, inputs, methods="gradient", target=0)
    assert graphs[0]() is None


def test_unchanged_tensors_and_containers_are_not_written_into(inputs):
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain, self.head = torch.full((2,), torch.nan), nn.Linear(108, 2)
            self.register_buffer("stretched", torch.zeros(1).expand(4))
            self.register_buffer("nan", torch.full((2,), torch.nan))

        def forward(self, x):
            return self.head(x.flatten(1))

    model = Idle()
    versions = [tensor._version for tensor in (model.plain, model.nan, model.stretched)]
    explain(model, inputs, methods="gradient", target=0)
    assert [tensor._version for tensor in (model.plain, model.nan, model.stretched)] == versions


def test_buffers_written_past_their_version(inputs):
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(108, 2)
            self.register_buffer("count", torch.tensor(0))
            self.register_buffer("values", torch.tensor([torch.nan, 1.0]))
            self.register_buffer("resized", torch.zeros(2))

        def forward(self, x):
            self.count.data.add_(1)
            self.values.data.mul_(2)
            self.resized.data = torch.ones(5)
            return self.head(x.flatten(1))

    model = Hidden()
    explain(model, inputs, methods="gradient", target=0)
    assert model.count == 0
    assert model.values[1] == 1
    assert torch.equal(model.resized, torch.zeros(2))


def test_old_weight_normalization_can_be_copied_afterwards(inputs):
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 2))
    with pytest.warns(FutureWarning):
        torch.nn.utils.weight_norm(model[1])
    with torch.no_grad():
        model(inputs)
    explain(model, inputs, methods="gradient", target=0)
    copy.deepcopy(model)


def test_what_becomes_a_parameter_or_a_module_in_the_forward_stays():
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = self.scale = None

        def forward(self, x):
            if self.head is None:
                self.head, self.scale = nn.Linear(x.shape[1], 2), nn.Parameter(torch.ones(2))
            return self.head(x) * self.scale

    model = Growing()
    with quiescence(model):
        model(torch.ones(1, 3))
    assert isinstance(model.head, nn.Linear)
    assert isinstance(model.scale, nn.Parameter)


def test_a_lazy_module_stays_what_it_has_become(inputs):
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    explain(model, inputs, methods="gradient", target=0)
    assert (model[0].in_channels, model[2].in_features) == (3, 64)
    assert type(model[2]) is nn.Linear
