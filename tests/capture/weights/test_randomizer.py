"""Weights are re-drawn as asked, and come back byte for byte whatever happens."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from saliency_callbacks.capture.isolation.tensor_copies import TensorContents
from saliency_callbacks.capture.weights import randomizer as randomize
from saliency_callbacks.capture.weights.layers import find_weight_layers
from saliency_callbacks.capture.weights.randomizer import randomizer

DIM = 6


class Rebinding(nn.Module):
    """Its reset makes a new parameter, a new buffer, and new memory for an old parameter."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.ones(DIM))
        self.shift = nn.Parameter(torch.linspace(0, 1, DIM))
        self.weight = nn.Parameter(torch.eye(DIM))

    def reset_parameters(self):
        self.weight = nn.Parameter(torch.randn(DIM, DIM))
        self.mask = torch.zeros(DIM)
        self.shift.data = torch.randn(DIM)

    def forward(self, x):
        return x @ self.weight * self.mask + self.shift


class Block(nn.Module):
    """Its reset reaches its submodules: into one, and to make the other anew."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(1, 2, DIM))
        self.kept = nn.Linear(DIM, DIM)
        self.norm = nn.BatchNorm1d(DIM)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.normal_(self.scale)
        self.kept.reset_parameters()
        self.norm.running_mean.add_(1)
        self.rebuilt = nn.Linear(DIM, DIM)

    def forward(self, x):
        return self.rebuilt(self.norm(self.kept(x))) * self.scale


class NeedsArguments(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, DIM * DIM).reshape(DIM, DIM))

    def reset_parameters(self, gain):
        raise AssertionError(f"called with {gain}")

    def forward(self, x):
        return x @ self.weight


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(DIM, DIM, bias=False)
        self.decode = nn.Linear(DIM, DIM, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return self.decode(F.relu(self.encode(x)))


class Raw(nn.Module):
    """Parameters that no module initializes: some can be permuted, constants cannot."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.ones = nn.Parameter(torch.ones(DIM))
        self.shift = nn.Parameter(torch.linspace(0, 1, DIM))
        self.head = nn.Linear(DIM, 2)

    def forward(self, x):
        return self.head(x * self.scale * self.ones + self.shift)


def plain():
    return nn.Sequential(nn.Linear(DIM, DIM), nn.ReLU(), nn.BatchNorm1d(DIM), nn.Linear(DIM, 2))


def old(norm):
    def build():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return nn.Sequential(nn.Linear(DIM, DIM), norm(nn.Linear(DIM, DIM)), nn.Linear(DIM, 2))

    return build


def new(norm):
    return lambda: nn.Sequential(nn.Linear(DIM, DIM), norm(nn.Linear(DIM, DIM)), nn.Linear(DIM, 2))


def recurrent():
    return nn.Sequential(nn.LSTM(DIM, DIM, batch_first=True))


def attending():
    return nn.Sequential(nn.TransformerEncoderLayer(DIM, 2, 8, batch_first=True))


MODELS = {
    "plain": plain,
    "rebinding": lambda: nn.Sequential(nn.Linear(DIM, DIM), Rebinding(), nn.Linear(DIM, 2)),
    "block": lambda: nn.Sequential(nn.Linear(DIM, DIM), Block(), nn.Linear(DIM, 2)),
    "needs arguments": lambda: nn.Sequential(NeedsArguments(), nn.Linear(DIM, 2)),
    "tied": Tied,
    "raw": Raw,
    "recurrent": recurrent,
    "attending": attending,
    "weight norm": new(parametrizations.weight_norm),
    "spectral norm": new(parametrizations.spectral_norm),
    "old weight norm": old(nn.utils.weight_norm),
    "old spectral norm": old(nn.utils.spectral_norm),
}


def noise(module):
    """A user's own way of drawing weights."""
    for parameter in module.parameters(recurse=False):
        parameter.copy_(torch.randn(parameter.shape))


REDRAWS = {"reinitialize": "reinitialize", "permute": "permute", "callable": noise}


def trained(build):
    """A model with gradients, momenta of its statistics, and a frozen layer; biases that are not zero."""
    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        output = model(torch.randn(8, 4, DIM) if build in (recurrent, attending) else torch.randn(8, DIM))
        (output[0] if isinstance(output, tuple) else output).square().sum().backward()
        optimizer.step()
    next(model.parameters()).requires_grad_(False)
    return model.eval()


def inputs(model):
    first = next(model.children())
    shape = (2, 4, DIM) if isinstance(first, (nn.LSTM, nn.TransformerEncoderLayer)) else (2, DIM)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def layers_of(model):
    return find_weight_layers(model, lambda: model(inputs(model)))


def content(tensor):
    return None if tensor is None else (id(tensor), tensor.data_ptr(), tensor.detach().numpy().tobytes())


def state_of(model):
    return {
        "parameters": [
            (name, key, content(value), content(value.grad), value.requires_grad)
            for name, module in model.named_modules()
            for key, value in module._parameters.items()
            if value is not None
        ],
        "buffers": [
            (name, key, content(value))
            for name, module in model.named_modules()
            for key, value in module._buffers.items()
        ],
        "submodules": [(name, id(module)) for name, module in model.named_modules()],
        "attributes": [
            (name, key, content(value))
            for name, module in model.named_modules()
            for key, value in vars(module).items()
            if isinstance(value, torch.Tensor)
        ],
        "training": [module.training for module in model.modules()],
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def values_of(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def changed(model, before):
    now = values_of(model)
    return {name for name in before if not torch.equal(before[name], now[name])}


@pytest.mark.parametrize("redraw", REDRAWS)
def test_every_weight_changes(redraw):
    model = trained(plain)
    before = values_of(model)
    with randomizer(model, REDRAWS[redraw]) as weights:
        weights.draw(layers_of(model), 0)
        assert changed(model, before) == set(before)
        assert weights.unchanged == set()
        for name, value in values_of(model).items():
            same_values = torch.equal(value.flatten().sort().values, before[name].flatten().sort().values)
            assert same_values == (redraw == "permute")
    assert changed(model, before) == set()


def test_reinitialized_weights_are_those_of_a_new_layer():
    model = trained(plain)
    with randomizer(model) as weights:
        weights.draw(layers_of(model), 0)
        assert model[0].weight.abs().max() <= DIM**-0.5
        assert model[0].bias.abs().max() <= DIM**-0.5
        assert torch.equal(model[2].weight, torch.ones(DIM))
        assert torch.equal(model[2].bias, torch.zeros(DIM))


@pytest.mark.parametrize("name", ["plain", "tied", "recurrent", "attending"])
def test_a_draw_does_not_depend_on_the_training(name):
    """Before it, biases may be zero, which a reset leaves as they are; after it they are not."""
    before, after = MODELS[name]().eval(), trained(MODELS[name])
    drawn = []
    for model in (before, after):
        layers = layers_of(model)
        with randomizer(model) as weights:
            weights.draw(layers, 0)
            drawn.append(values_of(model))
    assert drawn[0].keys() == drawn[1].keys()
    assert [key for key in drawn[0] if not torch.equal(drawn[0][key], drawn[1][key])] == []


@pytest.mark.parametrize("redraw", REDRAWS)
@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_left_behind(name, redraw):
    model = trained(MODELS[name])
    layers = layers_of(model)
    before = state_of(model)
    with randomizer(model, REDRAWS[redraw]) as weights:
        for number in range(2):
            weights.draw(layers, number)
            model(inputs(model))
    assert state_of(model) == before


@pytest.mark.parametrize("failure", [ArithmeticError, KeyboardInterrupt])
@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_left_behind_after_an_exception(name, failure):
    model = trained(MODELS[name])
    layers = layers_of(model)
    before = state_of(model)

    def draw_and_fail():
        with randomizer(model) as weights:
            weights.draw(layers, 0)
            raise failure

    with pytest.raises(failure):
        draw_and_fail()
    assert state_of(model) == before


def test_nothing_is_left_behind_after_an_exception_in_a_callable():
    model = trained(plain)
    layers = layers_of(model)
    before = state_of(model)

    def fail_at_the_end(module):
        noise(module)
        random.random()
        np.random.rand()  # noqa: NPY002
        if module is model[3]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), randomizer(model, fail_at_the_end) as weights:
        weights.draw(layers, 0)
    assert state_of(model) == before


def test_the_check_sees_a_change():
    model = trained(plain)
    before = state_of(model)
    with torch.no_grad():
        model[0].weight.add_(0.1)
        model[2].running_mean.add_(1)
    torch.rand(1)
    after = state_of(model)
    assert {key for key in before if before[key] != after[key]} == {"parameters", "buffers", "torch"}


@pytest.mark.parametrize("name", MODELS)
def test_the_weights_come_back_between_draws(name):
    model = trained(MODELS[name])
    before = state_of(model)
    output = model(inputs(model))
    layers = layers_of(model)
    with randomizer(model) as weights:
        weights.draw(layers, 0)
        weights.restore()
        now = state_of(model)
        assert {key: now[key] for key in ("parameters", "buffers")} == {
            key: before[key] for key in ("parameters", "buffers")
        }
        torch.testing.assert_close(model(inputs(model)), output, rtol=0, atol=0)


@pytest.mark.parametrize("module", [nn.BatchNorm1d(DIM), nn.BatchNorm1d(DIM, affine=False)])
def test_running_statistics_are_reset_and_come_back(module):
    model = nn.Sequential(nn.Linear(DIM, DIM), module).train()
    model(torch.randn(9, DIM) * 3 + 1)
    model.eval()
    layers = layers_of(model)
    before = {name: value.clone() for name, value in model.named_buffers()}
    with randomizer(model) as weights:
        weights.draw(layers, 0)
        assert torch.equal(module.running_mean, torch.zeros(DIM))
        assert torch.equal(module.running_var, torch.ones(DIM))
        assert module.num_batches_tracked == 0
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert module.num_batches_tracked == 1


def test_a_reset_that_makes_new_parameters():
    model = trained(MODELS["rebinding"])
    weight = model[1].weight
    with randomizer(model) as weights:
        weights.draw(layers_of(model), 0)
        assert model[1].weight is not weight
        assert model[1].mask.sum() == 0
        assert weights.unchanged == set()
    assert model[1].weight is weight


def anew(module):
    """A user's own way, which reaches as far as a module's own may."""
    if isinstance(module, Block):
        module.reset_parameters()
    else:
        noise(module)


@pytest.mark.parametrize("redraw", ["reinitialize", "permute", anew])
def test_a_layer_is_drawn_without_the_layers_below_it(redraw):
    model = trained(MODELS["block"])
    layers = layers_of(model)
    before, buffers = values_of(model), {name: value.clone() for name, value in model.named_buffers()}
    with randomizer(model, redraw) as weights:
        for layer in layers:
            weights.restore()
            weights.draw([layer], 0)
            own = {name for name in before if name.rpartition(".")[0] == layer.name}
            assert changed(model, before) == own
            if layer.name != "1.norm":
                assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


@pytest.mark.parametrize("redraw", ["reinitialize", anew])
@pytest.mark.parametrize("order", [1, -1])
def test_layers_below_stay_as_they_were_drawn(redraw, order):
    model = trained(MODELS["block"])
    layers = layers_of(model)
    before = values_of(model)
    with randomizer(model, redraw) as weights:
        weights.draw(layers, 0)
        together = values_of(model)
        assert changed(model, before) == set(before)
        weights.restore()
        for layer in layers[::order]:
            weights.draw([layer], 0)
        assert changed(model, together) == set()


def test_what_a_layer_shares_with_one_below_it_is_drawn():
    model = trained(MODELS["block"])
    model[1].kept.bias = model[1].scale
    layers = layers_of(model)
    before = values_of(model)
    with randomizer(model) as weights:
        weights.draw([layer for layer in layers if layer.name == "1"], 0)
        assert changed(model, before) == {"1.scale"}
        assert model[1].kept.bias is model[1].scale


def test_what_lies_below_is_copied_only_where_it_has_been_drawn():
    model = trained(MODELS["block"])
    layers = {layer.name: layer for layer in layers_of(model)}
    with randomizer(model) as weights:
        weights.draw([layers["1.kept"]], 0)
        known = weights._weights.contents
        below = TensorContents(model[1].parameters(), known)
        copied = {name for name, value in model[1].named_parameters() if below.of(value) is not known.of(value)}
        assert copied == {"kept.weight", "kept.bias"}


def test_parameters_made_under_inference_mode_have_gradients():
    model = trained(MODELS["rebinding"])
    layers = layers_of(model)
    before = state_of(model)
    with torch.inference_mode():
        with randomizer(model) as weights:
            weights.draw(layers, 0)
            assert not model[1].weight.is_inference()
            with torch.inference_mode(False):
                model(torch.ones(2, DIM, requires_grad=True)).sum().backward(inputs=[model[1].weight])
        assert state_of(model) == before


def test_a_reset_that_needs_arguments_is_not_called():
    model = trained(MODELS["needs arguments"])
    before = values_of(model)
    with randomizer(model) as weights:
        weights.draw(layers_of(model), 0)
        assert changed(model, before) == set(before)
        assert torch.equal(model[0].weight.flatten().sort().values, before["0.weight"].flatten().sort().values)


@pytest.mark.parametrize("redraw", REDRAWS)
def test_tied_weights_stay_tied(redraw):
    model = trained(Tied)
    before = model.encode.weight.detach().clone()
    with randomizer(model, REDRAWS[redraw]) as weights:
        weights.draw(layers_of(model), 0)
        assert model.decode.weight is model.encode.weight
        assert not torch.equal(model.encode.weight, before)
    assert model.decode.weight is model.encode.weight
    assert torch.equal(model.encode.weight, before)


@pytest.mark.parametrize("redraw", ["reinitialize", "permute"])
@pytest.mark.parametrize("name", ["weight norm", "spectral norm", "old weight norm", "old spectral norm"])
def test_the_weight_that_a_norm_computes_changes_and_stays_bounded(name, redraw):
    model = trained(MODELS[name])
    x = inputs(model)
    before, largest = model[1].weight.detach().clone(), model[1](x).abs().max()
    layers = layers_of(model)
    with randomizer(model, redraw) as weights:
        for number in range(5):
            weights.draw(layers, number)
            output = model[1](x)
            weight = model[1].weight.detach()
            assert (weight - before).abs().max() > 0.05
            assert output.isfinite().all()
            assert output.abs().max() < 10 * largest
            if "spectral" in name:
                # From 15 power iterations, of a matrix whose largest singular values may be close.
                assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(model[1](x).abs().max(), largest)


@pytest.mark.parametrize("shape", [(DIM, DIM), (DIM, 3), (3, DIM)])
@pytest.mark.parametrize("redraw", ["reinitialize", "permute"])
@pytest.mark.parametrize("orthogonal_map", ["householder", "matrix_exp", "cayley"])
@pytest.mark.parametrize("use_trivialization", [True, False])
def test_an_orthogonal_weight_changes_and_stays_orthogonal(shape, redraw, orthogonal_map, use_trivialization):
    torch.manual_seed(0)
    linear = nn.Linear(*shape)
    parametrizations.orthogonal(linear, orthogonal_map=orthogonal_map, use_trivialization=use_trivialization)
    model = nn.Sequential(linear)
    before = linear.weight.detach().clone()
    layers = find_weight_layers(model, lambda: model(torch.ones(2, shape[0])))
    with randomizer(model, redraw) as weights:
        for number in range(2):
            weights.restore()
            weights.draw(layers, number)
            weight = linear.weight.detach()
            assert (weight - before).abs().max() > 0.05
            product = weight @ weight.T if shape[0] >= shape[1] else weight.T @ weight
            torch.testing.assert_close(product, torch.eye(min(shape)), rtol=0, atol=1e-4)
            assert "0.parametrizations.weight.original" not in weights.unchanged
    assert torch.equal(linear.weight, before)


def test_frozen_parameters_are_drawn_too_and_stay_frozen():
    model = trained(plain)
    assert not model[0].weight.requires_grad
    before = values_of(model)
    with randomizer(model) as weights:
        weights.draw(layers_of(model), 0)
        assert "0.weight" in changed(model, before)
        assert not model[0].weight.requires_grad
        assert model[0].bias.requires_grad


@pytest.mark.parametrize("redraw", ["reinitialize", "permute"])
def test_constants_that_nothing_initializes_are_named(redraw):
    torch.manual_seed(0)
    model = Raw()
    before = values_of(model)
    with randomizer(model, redraw) as weights:
        weights.draw(layers_of(model), 0)
        assert weights.unchanged == {"scale", "ones"}
        assert changed(model, before) == set(before) - {"scale", "ones"}


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.0, 0.0, 1.0]])
def test_a_permutation_changes_whatever_is_not_constant(values):
    model = nn.Sequential(nn.Linear(DIM, len(values)))
    model[0].bias.data = torch.tensor(values)
    layers = layers_of(model)
    with randomizer(model, "permute") as weights:
        for number in range(8):
            weights.restore()
            weights.draw(layers, number)
            assert model[0].bias.tolist() != values
            assert sorted(model[0].bias.tolist()) == values


def test_what_a_callable_leaves_alone_in_one_draw_only_is_not_named():
    model = nn.Sequential(nn.Linear(DIM, 2))
    calls = []

    def draw_every_second_time(module):
        calls.append(module)
        if len(calls) % 2:
            noise(module)

    layers = layers_of(model)
    with randomizer(model, draw_every_second_time) as weights:
        for number in range(2):
            weights.restore()
            weights.draw(layers, number)
        assert weights.unchanged == set()


class Frozen(nn.Module):
    """A normalization whose numbers are buffers that nothing resets."""

    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.linspace(0, 1, DIM))
        self.register_buffer("weight", torch.ones(DIM))

    def forward(self, x):
        return (x - self.running_mean) * self.weight


class Scaled(nn.Linear):
    """Its reset, which is inherited, does not know of its own parameters."""

    def __init__(self):
        super().__init__(DIM, DIM)
        self.scale = nn.Parameter(torch.tensor([2.0]))
        self.undefined = nn.Parameter(torch.tensor([float("nan")]))
        self.shift = nn.Parameter(torch.linspace(0, 1, DIM))

    def forward(self, x):
        return super().forward(x) * self.scale + self.shift


def test_what_a_reset_leaves_alone_is_named():
    model = nn.Sequential(Scaled(), nn.LayerNorm(DIM), Frozen(), nn.BatchNorm1d(DIM, affine=False), nn.Linear(DIM, 2))
    with torch.no_grad():
        model[1].bias.add_(1)
    model.eval()
    layers = layers_of(model)
    before = values_of(model)
    with randomizer(model) as weights:
        for number in range(2):
            weights.restore()
            weights.draw(layers, number)
            # A scale that is reset to ones as it was.
            constant = {"0.scale", "0.undefined", "1.weight"}
            assert weights.unchanged == constant | {"2.running_mean", "2.weight"}
            assert changed(model, before) - {"0.undefined"} == set(before) - constant


def test_what_a_callable_draws_of_frozen_statistics_is_not_named():
    model = nn.Sequential(Frozen(), nn.Linear(DIM, 2))
    layers = layers_of(model)

    def draw(module):
        noise(module)
        if isinstance(module, Frozen):
            module.running_mean.normal_()

    before = model[0].running_mean.clone()
    with randomizer(model, draw) as weights:
        weights.draw(layers, 0)
        assert weights.unchanged == {"0.weight"}
    assert torch.equal(model[0].running_mean, before)


def test_what_a_callable_leaves_alone_is_named():
    model = Raw()
    with randomizer(model, lambda module: noise(module) if module is model.head else None) as weights:
        weights.draw(layers_of(model), 0)
        assert weights.unchanged == {"scale", "ones", "shift"}


def test_draws_differ_between_numbers_layers_and_seeds():
    model = nn.Sequential(nn.Linear(DIM, DIM), nn.Linear(DIM, DIM))
    layers = layers_of(model)
    drawn = []
    for seed in (0, 1):
        with randomizer(model, seed=seed) as weights:
            for number in range(3):
                weights.draw(layers, number)
                drawn += [model[0].weight.detach().clone(), model[1].weight.detach().clone()]
    assert len({tuple(weight.flatten().tolist()) for weight in drawn}) == len(drawn) == 12


@pytest.mark.parametrize("redraw", REDRAWS)
def test_a_layer_is_drawn_alike_whatever_else_is_drawn(redraw):
    model = trained(plain)
    layers = layers_of(model)
    with randomizer(model, REDRAWS[redraw], seed=7) as weights:
        weights.draw(layers, 2)
        together = values_of(model)
        weights.restore()
        torch.rand(3)
        weights.draw(layers[2:], 2)
        weights.draw(layers[:1], 2)
        assert changed(model, together) == {"2.weight", "2.bias"}
        weights.draw(layers[1:2], 2)
        assert changed(model, together) == set()
    with randomizer(model, REDRAWS[redraw], seed=7) as weights:
        weights.draw(layers, 2)
        assert changed(model, together) == set()


def test_a_callable_may_draw_from_any_generator():
    model = nn.Sequential(nn.Linear(DIM, 2))
    layers = layers_of(model)

    def draw(module):
        module.bias.fill_(random.random() + np.random.rand())  # noqa: NPY002

    found = []
    for number in (0, 0, 1):
        random.seed()
        np.random.seed(None)  # noqa: NPY002
        with randomizer(model, draw) as weights:
            weights.draw(layers, number)
            found.append(float(model[0].bias[0].detach()))
    assert found[0] == found[1] != found[2]


def test_a_cuda_runtime_that_has_not_started_is_not_seeded(monkeypatch):
    seeds = []
    model = trained(plain)
    layers = layers_of(model)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    with randomizer(model) as weights:
        weights.draw(layers, 0)
    assert seeds == [], "they would seed the training to come"


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script.*:FutureWarning", "ignore:.*torch.jit.script.*:DeprecationWarning"
)
def test_torchscript_is_permuted_and_comes_back():
    model = nn.Sequential(torch.jit.script(nn.Linear(DIM, DIM)), nn.ReLU(), nn.Linear(DIM, 2))
    layers = layers_of(model)
    before = values_of(model)
    with randomizer(model) as weights:
        weights.draw(layers, 0)
        assert changed(model, before) == set(before)
    assert changed(model, before) == set()


def test_one_copy_of_the_weights_is_kept(monkeypatch):
    copies = []

    class Counting(TensorContents):
        def __init__(self, tensors, known=None):
            super().__init__(tensors, known)
            shared = set() if known is None else {id(saved.content) for saved in known._saved}
            copies.extend(saved.content.numel() for saved in self._saved if id(saved.content) not in shared)

    monkeypatch.setattr(randomize, "TensorContents", Counting)
    model = trained(Tied)
    layers = layers_of(model)
    with randomizer(model) as weights:
        for number in range(4):
            weights.draw(layers, number)
            weights.restore()
    assert copies == [DIM * DIM]
