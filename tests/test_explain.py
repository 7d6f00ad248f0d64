"""The function that a person calls: its answers, its warnings, its errors."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks import Attribution, explain
from saliency_callbacks.errors import (
    ConfigurationError,
    DegenerateMapWarning,
    MethodError,
    SaliencyError,
    TargetError,
)
from saliency_callbacks.methods import BUILT_IN, Gradient
from saliency_callbacks.methods.catalog import COSTS


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)
        self.head.weight.data.abs_()

    def forward(self, x):
        return self.head(F.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture
def inputs():
    return torch.randn(3, 2, 6, 7, generator=torch.Generator().manual_seed(0))


def test_no_argument_is_needed(inputs):
    found = explain(Net(), inputs)
    assert list(found) == ["gradient", "grad_cam"]
    assert all(isinstance(attribution, Attribution) for attribution in found.values())
    assert torch.equal(found["gradient"].target, Net()(inputs).argmax(1))
    assert found["grad_cam"].layer == "conv"


def test_every_method_at_once_is_the_same_as_alone(inputs):
    model = Net().double()
    names = [name for name in BUILT_IN if "attention" not in COSTS[name].needs]
    together = explain(model, inputs.double(), methods=names, target=1)
    assert list(together) == names
    for name in names:
        alone = explain(model, inputs.double(), methods=name, target=1)[name]
        torch.testing.assert_close(alone.values, together[name].values)


def test_targets_give_a_list(inputs):
    for targets in ([0, 2], (0, 2), torch.tensor([0, 2])):
        found = explain(Net(), inputs, methods="gradient", targets=targets)
        assert [one["gradient"].target.tolist() for one in found] == [[0] * 3, [2] * 3]
    (each,) = explain(Net(), inputs, methods="gradient", targets=torch.tensor([[0, 2, 1]]))
    assert each["gradient"].target.tolist() == [0, 2, 1]


@pytest.mark.parametrize("targets", ["predicted", 3, {0: 1}])
def test_targets_that_are_no_list(inputs, targets):
    with pytest.raises(TargetError, match=r"expected a list of targets. For one target per sample use `target=`"):
        explain(Net(), inputs, targets=targets)


@pytest.mark.parametrize("targets", [[], ()])
def test_targets_that_are_empty(inputs, targets):
    with pytest.raises(TargetError, match="targets is empty"):
        explain(Net(), inputs, targets=targets)


def test_every_mistake_is_a_configuration_error(inputs):
    for mistake in (
        {"methods": "gradcam"},
        {"methods": []},
        {"target": 9},
        {"target_layers": "layer9"},
        {"attribute_to": 0, "inputs": "x"},
        {"internal_batch_size": 0},
        {"output_fn": lambda output: None},
    ):
        arguments = {"model": Net(), "inputs": inputs} | mistake
        with pytest.raises(ConfigurationError) as error:
            explain(**arguments)
        assert isinstance(error.value, SaliencyError)
        assert isinstance(error.value, ValueError)


def test_the_heatmap_is_clipped_at_its_percentile_and_scaled(inputs):
    found = explain(Net(), inputs, methods="gradient")["gradient"]
    assert torch.equal(found.magnitude, found.values.abs().amax(1))
    flat = found.magnitude.flatten(1)
    top = flat.sort(1).values[:, -1:]
    torch.testing.assert_close(found.heatmap.flatten(1), flat / top)


def test_a_class_activation_map_is_brought_to_the_inputs_resolution(inputs):
    model = nn.Sequential(nn.Conv2d(2, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    model[-1].weight.data.abs_()
    found = explain(model, inputs, methods="grad_cam", target=0, target_layers="1")["grad_cam"]
    assert found.values.shape == (3, 1, 2, 3)
    expected = F.interpolate(found.values, (6, 7), mode="bilinear")[:, 0]
    torch.testing.assert_close(found.magnitude, expected)


def test_on_the_cpu_after_cpu(inputs):
    found = explain(Net(), inputs, methods="integrated_gradients")["integrated_gradients"]
    assert found.cpu() == found or torch.equal(found.cpu().values, found.values)
    assert set(found.cpu().extras) == {"convergence_delta"}


class TestDegenerateMaps:
    def test_dead_samples_are_named(self, inputs):
        model = nn.Sequential(nn.Flatten(), nn.Linear(84, 4), nn.ReLU(), nn.Linear(4, 2))
        model[1].weight.data.abs_()
        model[1].bias.data.fill_(-1)
        given = inputs.abs()
        given[1] = -5
        with pytest.warns(DegenerateMapWarning) as caught:
            found = explain(model, given, methods=["gradient"], target=0)
        assert len(caught) == 1
        message = str(caught[0].message)
        assert message.startswith("gradient: 1 of 3 maps are zero or constant (samples 1); likely cause: the score")
        assert caught[0].filename == __file__
        assert not found["gradient"].heatmap[1].any()

    def test_maps_without_positive_evidence(self, inputs):
        model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(120, 4))
        model[-1].weight.data.abs_().neg_()
        with pytest.warns(DegenerateMapWarning, match=r"grad_cam: 3 of 3 .*no positive evidence .* layer '1'"):
            explain(model, inputs, methods="grad_cam", target=0, target_layers="1")

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_maps_that_are_not_finite(self, inputs, value):
        model = Net()
        model.conv.weight.data[0, 0, 0, 0] = value
        with pytest.warns(DegenerateMapWarning, match=r"gradient: 3 of 3 maps are not finite \(samples 0, 1, 2\)"):
            found = explain(model, inputs, methods="gradient", target=lambda output: output.square().sum(1))
        assert not found["gradient"].values.isfinite().all()

    def test_many_samples_are_cut_short(self):
        model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        model[1].weight.data.zero_()
        with pytest.warns(DegenerateMapWarning, match=r"12 of 12 .*\(samples 0, 1, 2, 3, 4, 5, 6, 7, …\)"):
            explain(model, torch.rand(12, 1, 2, 2), methods="gradient", target=0)

    def test_one_warning_a_method_and_target(self, inputs):
        model = nn.Sequential(nn.Flatten(), nn.Linear(84, 2))
        model[1].weight.data.zero_()
        with pytest.warns(DegenerateMapWarning) as caught:
            explain(model, inputs, methods=["gradient", "input_x_gradient"], targets=[0, 1])
        assert len(caught) == 4

    def test_good_maps_are_not_warned_of(self, inputs):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = explain(Net(), inputs, methods=["gradient", "grad_cam"], target=0)
        assert all(attribution.magnitude.any() for attribution in found.values())


def test_a_method_of_ones_own(inputs):
    class Doubled:
        name = "doubled"

        def requires(self):
            return Gradient().requires()

        def attribute(self, evidence):
            raw = Gradient().attribute(evidence)
            return type(raw)(2 * raw.values, raw.reduction, extras={"twice": raw.values.flatten(1).sum(1)})

    found = explain(Net(), inputs, methods=["gradient", Doubled()], target=0)
    assert torch.equal(found["doubled"].values, 2 * found["gradient"].values)
    assert torch.equal(found["doubled"].magnitude, 2 * found["gradient"].magnitude)
    assert found["doubled"].reduction == found["gradient"].reduction == "abs_max"
    assert torch.equal(found["doubled"].heatmap, found["gradient"].heatmap)
    assert found["doubled"].extras["twice"].shape == (3,)
    with pytest.raises(MethodError, match="type type"):
        explain(Net(), inputs, methods=Doubled)
