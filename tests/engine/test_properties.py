"""Laws of an explanation that hold for every method, target, layer and chunk size, at many shapes of model."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.methods import BUILT_IN, IntegratedGradients, SmoothGrad, resolve_methods
from saliency_callbacks.methods.catalog import COSTS

# A rule for ReLUs says so where it does not cover other activations that ran.
pytestmark = pytest.mark.filterwarnings("ignore:the .* backward rule covers the ReLUs")

CLASSES, CHANNELS, SIZE = 3, 2, 6
_SLOW = {
    "smooth_grad": SmoothGrad(nt_samples=2),
    "integrated_gradients": IntegratedGradients(n_steps=3),
    "smooth_grad_squared": SmoothGrad(nt_samples=2, nt_type="smoothgrad_sq"),
    "var_grad": SmoothGrad(nt_samples=3, nt_type="vargrad"),
    "smooth_integrated_gradients": IntegratedGradients(n_steps=2, nt_samples=2),
}
METHODS = [name for name in BUILT_IN if name != "gradient_norm" and "attention" not in COSTS[name].needs]


class Residual(nn.Module):
    """Adds in place to what a layer below has put out."""

    def __init__(self, conv):
        super().__init__()
        self.first, self.second = conv(CHANNELS, 4, 3, padding=1), conv(4, 4, 3, padding=1)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x):
        kept = self.first(x)
        out = self.second(torch.relu(kept))
        out += kept
        return self.head(torch.relu_(out).flatten(2).mean(2))


class Patches(nn.Module):
    """Attention over patches and a class token."""

    def __init__(self, conv):
        super().__init__()
        self.patches = conv(CHANNELS, 8, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.block(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1))[:, 0])


def plain(conv, *between):
    return nn.Sequential(
        conv(CHANNELS, 4, 3, padding=1),
        *between,
        conv(4, 5, 3, padding=1),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(2),
        nn.AdaptiveAvgPool1d(2),
        nn.Flatten(),
        nn.Linear(10, CLASSES),
    )


def perceptron(n_dims):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(CHANNELS * SIZE**n_dims, 7), nn.ReLU(), nn.Dropout(0.3), nn.Linear(7, CLASSES)
    )


@st.composite
def models(draw):
    """Return a model, its number of spatial dimensions, and a layer with maps."""
    n_dims = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["plain", "batch norm", "in place", "gelu", "perceptron", "residual", "patches"]))
    conv, norm = getattr(nn, f"Conv{n_dims}d"), getattr(nn, f"BatchNorm{n_dims}d")
    torch.manual_seed(draw(st.integers(0, 99)))
    model, layer = {
        "plain": lambda: (plain(conv, nn.ReLU()), "2"),
        "batch norm": lambda: (plain(conv, norm(4), nn.ReLU()), "1"),
        "in place": lambda: (plain(conv, nn.ReLU(inplace=True)), "0"),
        "gelu": lambda: (plain(conv, nn.GELU()), "0"),
        "perceptron": lambda: (perceptron(n_dims), None),
        "residual": lambda: (Residual(conv), "first"),
        "patches": lambda: (Patches(conv), "patches"),
    }[kind]()
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.train(draw(st.booleans())), n_dims, layer


@st.composite
def tasks(draw):
    """Return a model, its inputs, and how they are explained."""
    model, n_dims, layer = draw(models())
    allowed = [name for name in METHODS if layer is not None or not _needs_layer(name)]
    names = draw(st.lists(st.sampled_from(allowed), min_size=1, max_size=4, unique=True))
    n = draw(st.integers(1, 4))
    inputs = torch.randn(n, CHANNELS, *[SIZE] * n_dims)
    target = draw(st.sampled_from(["predicted", 1, "each"]))
    target = torch.arange(n) % CLASSES if target == "each" else target
    return model, inputs, _settings(names, layer or "auto", draw(st.integers(1, 5))), target


def _needs_layer(name):
    return "cam" in name


def _settings(names, layer, rows):
    methods = resolve_methods([_SLOW.get(name, name) for name in names])
    return Settings(methods=methods, target_layers=layer, internal_batch_size=rows)


def _maps(model, inputs, how, target):
    return run_engine(model, inputs, how, [target]).attributions[0]


def _state(model):
    return {
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "versions": [parameter._version for parameter in model.parameters()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "requires": [parameter.requires_grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 (the generator that is isolated)
        "python": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
    }


def _same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return one == other


@given(tasks())
@settings(max_examples=60)
def test_an_explanation_is_finite_repeatable_and_leaves_no_trace(task):
    model, inputs, how, target = task
    for parameter in model.parameters():
        parameter.grad = None
    before, fed = _state(model), inputs.clone()
    first = _maps(model, inputs, how, target)
    assert _same(before, _state(model))
    assert torch.equal(inputs, fed)
    assert not inputs.requires_grad
    second = _maps(model, inputs, how, target)
    for name, one in first.items():
        assert torch.isfinite(one.values).all()
        assert one.heatmap.shape == (len(inputs), *inputs.shape[2:])
        assert one.heatmap.min() >= 0
        assert one.heatmap.max() <= 1
        assert torch.equal(one.values, second[name].values)
        assert torch.equal(one.heatmap, second[name].heatmap)


@given(tasks(), st.integers(1, 9))
@settings(max_examples=40)
def test_an_explanation_does_not_depend_on_how_many_rows_are_run_at_once(task, rows):
    model, inputs, how, target = task
    one = _maps(model.double(), inputs.double(), how, target)
    other = _maps(model, inputs.double(), _with_rows(how, rows), target)
    for name in one:
        torch.testing.assert_close(one[name].values, other[name].values, rtol=1e-9, atol=1e-11)


@given(tasks(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_permuted_samples_have_permuted_maps(task, shuffler):
    model, inputs, how, target = task
    order = list(range(len(inputs)))
    shuffler.shuffle(order)
    one = _maps(model.double(), inputs.double(), how, target)
    permuted = target[order] if isinstance(target, torch.Tensor) else target
    other = _maps(model, inputs.double()[order], how, permuted)
    for name, found in one.items():
        torch.testing.assert_close(found.values[order], other[name].values, rtol=1e-9, atol=1e-11)


def _with_rows(how, rows):
    return Settings(methods=how.methods, target_layers=how.target_layers, internal_batch_size=rows)
