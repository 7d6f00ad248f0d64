"""How channels become one map, for every method that has a choice."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.methods import BUILT_IN, GradCAM, Gradient, IntegratedGradients, LayerCAM
from saliency_callbacks.types import Reduction

REDUCTIONS = {
    "abs_max": lambda values: max(abs(value) for value in values),
    "positive_max": lambda values: max(max(value, 0.0) for value in values),
    "l2": lambda values: sum(value**2 for value in values) ** 0.5,
    "abs_sum": lambda values: sum(abs(value) for value in values),
    "sum": lambda values: abs(sum(values)),
}
REDUCING = [
    name for name, make in BUILT_IN.items() if "reduction" in {field.name for field in dataclasses.fields(make())}
]


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.Flatten(), nn.Linear(24, 3))
    return model.double()


def test_the_twins_are_complete():
    assert set(REDUCTIONS) == set(get_args(Reduction))
    assert len(REDUCING) == 11


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize("name", REDUCING)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_magnitude(model, name, reduction):
    method = dataclasses.replace(BUILT_IN[name](), reduction=reduction)
    found = explain(model, torch.randn(2, 3, 4, 4, dtype=torch.float64), methods=method, target_layers="0")[name]
    assert found.reduction == reduction
    for sample, row, column in [(0, 0, 0), (1, 2, 3), (1, 3, 1)]:
        expected = REDUCTIONS[reduction](found.values[sample, :, row, column].tolist())
        assert float(found.magnitude[sample, row, column]) == pytest.approx(expected, rel=1e-12)


def test_defaults():
    by_default = {name: BUILT_IN[name]().reduction for name in REDUCING}
    summed = {"input_x_gradient", "integrated_gradients", "smooth_integrated_gradients"}
    expected = {name: "sum" if name in summed else "abs_max" for name in REDUCING}
    assert by_default == expected | {"gradient_norm": "l2"}


def test_one_method_twice_under_its_own_names(model):
    found = explain(model, torch.randn(2, 3, 4, 4).double(), methods=[Gradient(), Gradient("l2", name="gradient_l2")])
    assert torch.equal(found["gradient"].values, found["gradient_l2"].values)
    assert not torch.equal(found["gradient"].magnitude, found["gradient_l2"].magnitude)


def test_noise_names_integrated_gradients():
    assert IntegratedGradients(nt_samples=3).name == "smooth_integrated_gradients"
    assert IntegratedGradients(nt_samples=3, name="mine").name == "mine"


def test_equal_baseline_tensors_are_one_pass():
    tensor = torch.rand(3, 4, 4)
    same = [IntegratedGradients(baselines=tensor.clone()).requires() for _ in range(2)]
    assert same[0] == same[1]
    assert IntegratedGradients(baselines=tensor + 1).requires() != same[0]
    assert IntegratedGradients(baselines=tensor.double()).requires() != same[0]


def test_several_layers_are_fused(model):
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 1), nn.Flatten())
    model.append(nn.Linear(24, 3)).double()
    model[-1].weight.data.abs_()
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    model[3].weight.data.abs_()
    model[3].bias.data.zero_()
    for method in (GradCAM(), LayerCAM()):
        fused = explain(model, x, methods=method, target=0, target_layers=["3", "1"])[method.name]
        single = {
            layer: explain(model, x, methods=method, target=0, target_layers=layer)[method.name].values
            for layer in ("1", "3")
        }
        assert fused.layer == "1+3"
        assert all(torch.equal(fused.extras[layer], values) for layer, values in single.items())
        scaled = [values / values.amax((1, 2, 3), keepdim=True) for values in single.values()]
        scaled[1] = nn.functional.interpolate(scaled[1], (4, 4), mode="bilinear")
        torch.testing.assert_close(fused.values, (scaled[0] + scaled[1]) / 2)
