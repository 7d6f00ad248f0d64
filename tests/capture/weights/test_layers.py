"""Which layers hold weights, and in which order they run."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from saliency_callbacks.capture.weights.layers import find_weight_layers


class Backwards(nn.Module):
    """Registers its layers in the opposite order of their execution."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.middle = nn.Linear(3, 3)
        self.stem = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.middle(self.stem(x)))


class Looped(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(3, 3)
        self.between = nn.Linear(3, 3)

    def forward(self, x):
        return self.shared(self.between(self.shared(x)))


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.head = nn.Linear(4, 2)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        return self.head(self.attention(x, x, x)[0][:, 0])


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(3, 3)
        self.spare = nn.Linear(2, 2)

    def forward(self, x):
        return self.used(x)


class PartlyUsed(nn.Module):
    """Runs some of its layers and leaves others alone."""

    def __init__(self):
        super().__init__()
        self.block = nn.ModuleDict({"used": nn.Linear(3, 3), "unused": nn.Linear(3, 3)})
        self.inner = Inner()

    def forward(self, x):
        return self.inner(self.block["used"](x))


def layers_of(model, *shape):
    found = find_weight_layers(model, lambda: model(torch.ones(2, *shape)))
    named = dict(model.named_modules())
    assert all(named[name] is module for layer in found for name, module in layer.modules.items())
    return [(layer.name, sorted(layer.modules)) for layer in found]


def hooks_of(model):
    return [list(module._forward_pre_hooks) + list(module._forward_hooks) for module in model.modules()]


def test_execution_order_is_not_registration_order():
    assert layers_of(Backwards(), 4) == [("stem", ["stem"]), ("middle", ["middle"]), ("head", ["head"])]


def test_a_layer_that_runs_twice_stands_where_it_runs_last():
    assert layers_of(Looped(), 3) == [("between", ["between"]), ("shared", ["shared"])]


def test_layers_without_weights_are_left_out():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 2))
    assert [name for name, _ in layers_of(model, 4)] == ["1", "4"]


def test_the_projection_inside_an_attention_belongs_to_it_and_the_models_own_weights_to_the_model():
    assert layers_of(Attending(), 5, 4) == [
        ("Attending", [""]),
        ("attention", ["attention", "attention.out_proj"]),
        ("head", ["head"]),
    ]


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrizations_belong_to_the_layer_whose_weight_they_are(norm):
    model = nn.Sequential(nn.Linear(4, 3), norm(nn.Linear(3, 3)), nn.Linear(3, 2))
    assert layers_of(model, 4) == [("0", ["0"]), ("1", ["1", "1.parametrizations.weight"]), ("2", ["2"])]


def test_parametrizations_of_the_model_itself():
    model = parametrizations.weight_norm(nn.Linear(4, 3))
    assert layers_of(model, 4) == [(type(model).__name__, ["", "parametrizations.weight"])]


def test_unused_modules_belong_to_the_closest_one_above_that_runs():
    assert layers_of(PartlyUsed(), 3) == [
        ("PartlyUsed", ["block.unused"]),
        ("block.used", ["block.used"]),
        ("inner", ["inner.spare"]),
        ("inner.used", ["inner.used"]),
    ]


def test_a_normalization_without_parameters_has_learned_statistics():
    without = nn.BatchNorm1d(3, affine=False, track_running_stats=False)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False), without)
    assert [name for name, _ in layers_of(model, 4)] == ["0", "1"]


def test_a_module_that_is_registered_twice_is_one_layer():
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert layers_of(model, 3) == [("0", ["0"])]


def test_a_model_that_is_run_in_another_way_than_by_calling_it():
    model = Attending()
    found = find_weight_layers(model, lambda: model.forward(torch.ones(1, 2, 4)))
    assert [layer.name for layer in found] == ["Attending", "attention", "head"]


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script.*:FutureWarning", "ignore:.*torch.jit.script.*:DeprecationWarning"
)
def test_torchscript_belongs_to_the_module_around_it():
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(torch.jit.script(nn.Linear(3, 3))), nn.Linear(3, 2))
    assert layers_of(model, 4) == [("0", ["0"]), ("1", ["1.0"]), ("2", ["2"])]


def test_no_weights_no_layers():
    assert layers_of(nn.Sequential(nn.Flatten(), nn.ReLU()), 4) == []


def test_hooks_are_gone_afterwards():
    model = Backwards()
    model.stem.register_forward_pre_hook(lambda module, args: None)
    before = hooks_of(model)
    layers_of(model, 4)
    assert hooks_of(model) == before
    for failure in (ArithmeticError, KeyboardInterrupt):
        handle = model.head.register_forward_hook(lambda *_, failure=failure: (_ for _ in ()).throw(failure))
        with pytest.raises(failure):
            layers_of(model, 4)
        handle.remove()
        assert hooks_of(model) == before
