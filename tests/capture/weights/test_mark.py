"""A mark tells whatever a person may change of a model, and is not sure of what it cannot see."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from saliency_callbacks.capture.weights.mark import mark_of


class _Slotted:
    __slots__ = ("value",)


class _Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.hidden = [nn.Linear(2, 2)]
        self.scale, self.act, self.factor = torch.ones(2), torch.relu, 1.0
        self.settings = {"t": 1.0, "nested": {"t": [1.0, torch.ones(1)]}}
        self.array, self.own = np.ones(3), SimpleNamespace(t=1.0)
        self.part = partial(torch.add, torch.ones(1), alpha=2)
        self.itself = self.settings["itself"] = [self]

    def forward(self, values):
        return self.act(self.layer(values)) * self.scale


def _set(net, name, value):
    setattr(net, name, value)


_CHANGES = {
    "weight": lambda net: net.layer.weight.data.neg_(),
    "weight of another": lambda net: _set(net.layer, "weight", nn.Parameter(torch.zeros(2, 2))),
    "frozen": lambda net: net.layer.requires_grad_(False),
    "hidden module": lambda net: net.hidden[0].bias.data.add_(1),
    "tensor bound": lambda net: _set(net, "scale", net.scale * 1.5),
    "tensor written": lambda net: net.scale.mul_(1.5),
    "number": lambda net: _set(net, "factor", 2.0),
    "type of a number": lambda net: _set(net, "factor", 1),
    "function": lambda net: _set(net, "act", torch.tanh),
    "forward": lambda net: _set(net, "forward", lambda values: values),
    "entry": lambda net: net.settings.update(t=1.5),
    "nested entry": lambda net: net.settings["nested"]["t"].__setitem__(0, 2.0),
    "nested tensor": lambda net: net.settings["nested"]["t"][1].add_(1),
    "array": lambda net: net.array.__imul__(2),
    "own object": lambda net: _set(net.own, "t", 2.0),
    "partial": lambda net: net.part.args[0].add_(1),
    "new attribute": lambda net: _set(net, "new", None),
    "module": lambda net: _set(net, "layer", nn.Linear(2, 2)),
    "class": lambda net: _set(net.layer, "__class__", nn.Bilinear),
    "forward hook": lambda net: net.layer.register_forward_hook(print),
    "forward hook with arguments": lambda net: net.layer.register_forward_hook(print, with_kwargs=True),
    "forward pre-hook": lambda net: net.layer.register_forward_pre_hook(print),
    "backward pre-hook": lambda net: net.layer.register_full_backward_pre_hook(print),
    "backward hook": lambda net: net.layer.register_full_backward_hook(print),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_a_change_is_seen(change):
    net = _Net()
    net.layer.register_full_backward_hook(repr)
    before = mark_of(net)
    assert before.is_of(net)
    _CHANGES[change](net)
    assert not before.is_of(net)
    assert mark_of(net).is_of(net)


def test_the_mode_is_not_asked():
    net = _Net()
    before = mark_of(net)
    assert before.is_of(net.eval())


def _deep(depth):
    return [_deep(depth - 1)] if depth else [torch.ones(1)]


_UNKNOWN = {
    "slots": _Slotted(),
    "depth": _deep(9),
    "objects": np.array([object()]),
    "many entries": [[number] for number in range(200_000)],
    "many numbers": torch.zeros(1).expand(20_000_000),
    "sparse": torch.eye(2).to_sparse(),
}


@pytest.mark.parametrize("name", _UNKNOWN)
def test_what_cannot_be_seen_is_not_sure(name):
    net = _Net()
    net.unknown = _UNKNOWN[name]
    assert not mark_of(net).is_of(net)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_a_module_that_is_scripted_is_not_sure():
    net = nn.Sequential(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)))
    assert not mark_of(net).is_of(net)
