"""Guided backpropagation and the deconvnet act on the function, however a network calls it."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.passes.relu_rules import ReluRuleMode
from saliency_callbacks.errors import ReluError, SaliencyWarning

RULED = {"guided": "guided_backprop", "deconvnet": "deconvnet"}


def dropped(function):
    """Call an in-place function for its effect and go on with the input."""

    def call(x):
        function(x)
        return x

    return call


RELUS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.ReLU in place, result dropped": dropped(nn.ReLU(inplace=True)),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": dropped(F.relu_),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": dropped(lambda x: x.relu_()),
    "keyword": lambda x: F.relu(input=x),
    "Hardtanh from 0": nn.Hardtanh(0, float("inf")),
}


class Net(nn.Module):
    def __init__(self, relus, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        self.relus = relus
        self.convs = nn.ModuleList([nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3)]).to(dtype)
        self.head = nn.Linear(4 * 16, 3, dtype=dtype)

    def forward(self, x):
        for conv, relu in zip(self.convs, self.relus, strict=True):
            x = relu(conv(x))
        return self.head(x.flatten(1))


@pytest.fixture
def inputs():
    return torch.randn(3, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rule", RULED)
@pytest.mark.parametrize("name", RELUS)
def test_every_way_to_call_a_relu_is_the_same(inputs, name, rule):
    reference = explain(Net([nn.ReLU(), nn.ReLU()]), inputs, methods=["gradient", RULED[rule]], target=1)
    # One module in two places, so it is re-used as well.
    found = explain(Net([RELUS[name], RELUS[name]]), inputs, methods=["gradient", RULED[rule]], target=1)
    assert torch.equal(found[RULED[rule]].values, reference[RULED[rule]].values)
    assert torch.equal(found["gradient"].values, reference["gradient"].values)
    assert not torch.allclose(reference[RULED[rule]].values, reference["gradient"].values)


@pytest.mark.parametrize("relu6", [nn.ReLU6(), nn.ReLU6(inplace=True), F.relu6, lambda x: F.hardtanh(x, 0.0, 6.0)])
def test_relu6_is_covered_with_its_own_range(inputs, relu6):
    net = Net([lambda x: relu6(20 * x), nn.ReLU()])
    guided = explain(net, inputs, methods="guided_backprop", target=1)["guided_backprop"].values

    x = inputs.clone()
    first = 20 * net.convs[0](x)
    second = net.convs[1](first.clamp(0, 6))
    assert ((first > 0) & (first < 6)).any()
    assert (first > 6).any()
    gradient = net.head.weight[1].reshape(1, 4, 4, 4).expand(3, -1, -1, -1)
    gradient = gradient.clamp(min=0) * (second > 0)
    gradient = F.conv_transpose2d(gradient, net.convs[1].weight)
    gradient = gradient.clamp(min=0) * ((first > 0) & (first < 6))
    gradient = F.conv_transpose2d(20 * gradient, net.convs[0].weight)
    torch.testing.assert_close(guided, gradient.detach())


@pytest.mark.parametrize("rule", RULED)
def test_formula_twin(rule):
    """A small perceptron, with the rules of the papers in explicit loops."""
    torch.manual_seed(3)
    layers = [nn.Linear(sizes[0], sizes[1], dtype=torch.float64) for sizes in ((4, 16), (16, 12), (12, 3))]
    model = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    x = torch.randn(2, 1, 4, dtype=torch.float64)
    found = explain(model, x, methods=RULED[rule], target=2)[RULED[rule]].values
    for sample in range(2):
        forward, before = x[sample, 0].tolist(), []
        for layer in layers[:-1]:
            weight, bias = layer.weight.tolist(), layer.bias.tolist()
            before.append(
                [sum(w * v for w, v in zip(row, forward, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
            )
            forward = [max(0.0, value) for value in before[-1]]
        signal = layers[-1].weight[2].tolist()
        for layer, values in zip(layers[-2::-1], before[::-1], strict=True):
            passed = [
                s if s > 0 and (rule == "deconvnet" or value > 0) else 0.0
                for s, value in zip(signal, values, strict=True)
            ]
            weight = layer.weight.tolist()
            signal = [sum(passed[i] * weight[i][j] for i in range(len(passed))) for j in range(len(weight[0]))]
        torch.testing.assert_close(found[sample, 0], torch.tensor(signal, dtype=torch.float64))


def test_the_forward_is_unchanged(inputs):
    net = Net([nn.ReLU(), nn.ReLU6()])
    with ReluRuleMode("guided") as mode:
        ruled = net(inputs)
    assert mode.n_relus == 2
    assert torch.equal(ruled, net(inputs))


@pytest.mark.parametrize(
    "activation", ["GELU", "SiLU", "LeakyReLU", "ELU", "Mish", "Hardswish", "Softplus", "Hardtanh"]
)
def test_a_network_without_a_relu_is_an_error_that_says_what_ran(inputs, activation):
    other = getattr(nn, activation)()
    with pytest.raises(ReluError, match=r"Net ran none \(it ran: \w+\). Leave out guided_backprop") as error:
        explain(Net([other, other]), inputs, methods="guided_backprop")
    assert f"it ran: {activation.lower().replace('leakyrelu', 'leaky_relu')}" in str(error.value)


def test_a_network_without_any_activation_is_an_error(inputs):
    with pytest.raises(ReluError, match="no known activation"):
        explain(nn.Sequential(nn.Flatten(), nn.Linear(128, 2, dtype=torch.float64)), inputs, methods="deconvnet")


def test_other_activations_beside_relus_are_a_warning(inputs):
    with pytest.warns(SaliencyWarning, match="not its gelu; those keep their own gradient"):
        explain(Net([nn.ReLU(), nn.GELU()]), inputs, methods="guided_backprop")


def test_gates_are_no_activations_to_warn_of(inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = explain(Net([nn.ReLU(), lambda x: x * x.sigmoid()]), inputs, methods="guided_backprop")
    assert found["guided_backprop"].values.any()
