"""Whatever happens during an explanation, the model and the process come back byte for byte."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.errors import LayerError
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
METHODS = (
    "gradient",
    "grad_cam",
    "guided_backprop",
    SmoothGrad(nt_samples=2),
    IntegratedGradients(n_steps=2),
)


class Counting(nn.Module):
    """Changes its buffers in evaluation mode too: in place, by rebinding, out of nothing, and by removal."""

    def __init__(self):
        super().__init__()
        self.register_buffer("in_place", torch.zeros(2))
        self.register_buffer("rebound", torch.zeros(2))
        self.register_buffer("later", None)
        self.register_buffer("removed", torch.ones(2))

    def forward(self, x):
        self.in_place += 1
        self.rebound = self.rebound + 1
        self.later = torch.ones(3)
        self.register_buffer("added", torch.ones(1), persistent=False)
        self.removed = None
        return x


class Restless(nn.Module):
    """Everything that training-time state can hang on; draws random numbers from every generator."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.counting = Counting()
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(3, 4)
        # So that no ReLU blocks every gradient, which would be a warning.
        self.head.weight.data.abs_()
        self.failure = None

    def forward(self, x):
        random.random()
        np.random.rand()  # noqa: NPY002
        torch.rand(1)
        x = self.dropout(self.counting(F.relu(self.norm(self.conv(x)))))
        if self.failure is not None:
            raise self.failure
        return self.head(x.mean((2, 3)))


@pytest.fixture
def inputs():
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def model(inputs):
    torch.manual_seed(0)
    model = Restless().train()
    model(inputs).sum().backward()
    # A mixed state, as of a frozen backbone.
    model.norm.eval()
    model.conv.bias.requires_grad_(False)
    model.head.register_forward_hook(lambda module, args, output: None)
    return model


def content(tensor):
    return (
        None if tensor is None else (id(tensor), tensor.dtype, tuple(tensor.shape), tensor.detach().numpy().tobytes())
    )


def state_of(model):
    """Everything that has to come back, by identity and by content."""
    return {
        "parameters": {name: content(value) for name, value in model.named_parameters()},
        "grads": {name: content(value.grad) for name, value in model.named_parameters()},
        "requires_grad": {name: value.requires_grad for name, value in model.named_parameters()},
        "buffers": {
            (name, key): content(value)
            for name, module in model.named_modules()
            for key, value in module._buffers.items()
        },
        "training": {name: module.training for name, module in model.named_modules()},
        "hooks": {
            (name, kind): list(getattr(module, kind)) for name, module in model.named_modules() for kind in HOOKS
        },
        "python": random.getstate(),
        "numpy": (np.random.get_state()[1].tobytes(), np.random.get_state()[2:]),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy().tobytes(),
        "grad_mode": torch.is_grad_enabled(),
        "inference_mode": torch.is_inference_mode_enabled(),
        "attention": torch.backends.mha.get_fastpath_enabled(),
    }


@pytest.mark.parametrize("caller", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
def test_nothing_is_left_behind(model, inputs, caller):
    with caller():
        before = state_of(model)
        found = explain(model, inputs, methods=METHODS, target_layers="conv", target=0)
        assert state_of(model) == before
    assert all(attribution.values.isfinite().all() for attribution in found.values())


def test_the_check_sees_a_change(model, inputs):
    before = state_of(model)
    model(inputs)
    after = state_of(model)
    assert {key for key in before if before[key] != after[key]} == {"buffers", "python", "numpy", "torch"}


def test_an_exception_in_the_forward(model, inputs):
    model.failure = ArithmeticError("in the middle")
    before = state_of(model)
    with pytest.raises(ArithmeticError, match="in the middle"):
        explain(model, inputs, methods=METHODS, target_layers="conv", target=0)
    assert state_of(model) == before


def test_an_exception_while_the_layer_is_searched(model, inputs):
    model.failure = ArithmeticError("in the middle")
    before = state_of(model)
    with pytest.raises(ArithmeticError):
        explain(model, inputs, methods="grad_cam", target=0)
    assert state_of(model) == before


@pytest.mark.parametrize("method", ["guided_backprop", "grad_cam", SmoothGrad(nt_samples=2)])
def test_an_exception_in_the_target(model, inputs, method):
    def target(output):
        raise ArithmeticError("no score")

    before = state_of(model)
    with pytest.raises(ArithmeticError, match="no score"):
        explain(model, inputs, methods=method, target_layers="conv", target=target)
    assert state_of(model) == before


def test_an_exception_in_the_reshape_transform(model, inputs):
    def reshape(output):
        raise ArithmeticError("no map")

    before = state_of(model)
    with pytest.raises(LayerError, match="no map"):
        explain(model, inputs, methods="grad_cam", target_layers="conv", target=0, reshape_transform=reshape)
    assert state_of(model) == before


def test_an_exception_in_the_backward(model, inputs):
    class Refusing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise ArithmeticError("no backward")

    before = state_of(model)
    with pytest.raises(ArithmeticError, match="no backward"):
        explain(model, inputs, target_layers="conv", target=lambda output: Refusing.apply(output[:, 0]))
    assert state_of(model) == before


def test_inputs_made_under_inference_mode(model):
    with torch.inference_mode():
        inputs = torch.rand(3, 2, 6, 6)
        made_there = explain(model, inputs, target_layers="conv", target=0)
    made_here = explain(model, inputs.clone(), target_layers="conv", target=0)
    assert all(torch.equal(made_there[name].values, made_here[name].values) for name in made_here)


def test_the_users_tensors_are_untouched(model, inputs):
    inputs.requires_grad_(True)
    (inputs * 2).sum().backward()
    before = inputs.detach().clone(), inputs.grad.clone()
    explain(model, inputs, methods=METHODS, target_layers="conv", target=0)
    assert torch.equal(inputs.detach(), before[0])
    assert torch.equal(inputs.grad, before[1])
    assert inputs.requires_grad


def test_the_model_runs_in_evaluation_mode_whatever_its_eval_does(inputs):
    class Merging(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(72, 2)
            self.merged = False

        def eval(self):
            self.merged = True
            return super().eval()

        def forward(self, x):
            assert not self.training
            return self.head(F.dropout(x.flatten(1), training=self.training))

    model = Merging()
    explain(model, inputs, methods="gradient")
    assert not model.merged
    assert model.training


def test_everything_inside_is_reproducible():
    draws = []
    for _ in range(2):
        with quiescence(nn.Identity(), seed=3):
            draws.append((random.random(), float(np.random.rand()), float(torch.rand(1))))  # noqa: NPY002
    with quiescence(nn.Identity(), seed=4):
        draws.append((random.random(), float(np.random.rand()), float(torch.rand(1))))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert all(first != other for first, other in zip(draws[0], draws[2], strict=True))


def test_weights_that_autocast_has_cast_do_not_leak(inputs):
    """Casts made without a graph would cut the gradients of the training that goes on in the same context."""
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    with torch.autocast("cpu", torch.bfloat16):
        explain(model, inputs, methods="guided_backprop")
        model(inputs).float().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_weights_that_autocast_has_cast_under_inference_mode_do_not_come_in(inputs):
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 2))
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        model(inputs)
        assert explain(model, inputs, methods="gradient")["gradient"].values.any()


def test_the_cache_of_autocast_is_emptied_on_both_sides(monkeypatch):
    events = []
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: events.append("cleared"))
    with quiescence(nn.Identity()):
        events.append("inside")
    assert events == ["cleared", "inside", "cleared"]


def test_fused_attention_is_off_as_it_runs_no_hooks():
    with quiescence(nn.Identity()):
        assert not torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_cudnn_is_off_for_recurrent_layers_only():
    enabled = []
    recurrent = nn.GRU(2, 3)
    for model in (recurrent, nn.Identity()):
        with quiescence(model):
            enabled.append(torch.backends.cudnn.enabled)
        assert torch.backends.cudnn.enabled
    assert enabled == [False, True]
