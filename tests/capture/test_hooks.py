"""What a layer put out is what is kept, whatever happens to it afterwards."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.hooks import ActivationRecorder, first_tensor

Pair = namedtuple("Pair", ["map", "rest"])


@pytest.fixture
def inputs():
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    """Overwrites what its layers put out, like torchvision's blocks."""

    def __init__(self, *, inplace):
        super().__init__()
        torch.manual_seed(0)
        self.inplace = inplace
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)
        self.head.weight.data.abs_()

    def forward(self, x):
        out = self.norm(self.conv(x))
        if self.inplace:
            out += x
            out.relu_()
        else:
            out = F.relu(out + x)
        return self.head(out.mean((2, 3)))


@pytest.mark.parametrize("layer", ["conv", "norm"])
@pytest.mark.parametrize("methods", [["layer_cam"], ["layer_cam", "gradient"]])
def test_in_place_operations_after_the_layer(inputs, layer, methods):
    overwriting, plain = (
        explain(Residual(inplace=inplace), inputs, methods=methods, target=0, target_layers=layer)
        for inplace in (True, False)
    )
    for method in methods:
        torch.testing.assert_close(overwriting[method].values, plain[method].values)
    assert plain["layer_cam"].values.any()


def test_what_is_kept_is_the_layers_own_output(inputs):
    model = Residual(inplace=True).eval()
    expected = model.norm(model.conv(inputs)).detach()
    with ActivationRecorder({"norm": model.norm}) as recorder:
        model(inputs)
    assert torch.equal(recorder.outputs["norm"], expected)


def test_of_a_module_that_runs_twice_the_output_is_that_of_its_last_call(inputs):
    conv = nn.Conv2d(3, 3, 3, padding=1)
    with ActivationRecorder({"conv": conv}) as recorder:
        last = conv(conv(inputs) + 1)
    assert torch.equal(recorder.outputs["conv"], last)
    assert len(recorder.outputs) == 1


def test_every_call_of_a_module_is_kept(inputs):
    conv = nn.Conv2d(3, 3, 3, padding=1)
    with ActivationRecorder({"conv": conv}) as recorder:
        first = conv(inputs)
        second = conv(first + 1)
    kept = recorder.by_layer["conv"]
    assert len(kept) == 2
    assert torch.equal(kept[0], first)
    assert torch.equal(kept[1], second)


def test_execution_order_not_registration_order(inputs):
    model = nn.ModuleDict({"second": nn.Conv2d(3, 3, 1), "first": nn.Conv2d(3, 3, 1)})
    with ActivationRecorder(dict(model.items())) as recorder:
        model["second"](model["first"](inputs))
    assert list(recorder.outputs) == ["first", "second"]


def test_a_module_that_runs_again_moves_to_the_end(inputs):
    model = nn.ModuleDict({"twice": nn.Conv2d(3, 3, 1), "once": nn.Conv2d(3, 3, 1)})
    with ActivationRecorder(dict(model.items())) as recorder:
        model["twice"](model["once"](model["twice"](inputs)))
    assert list(recorder.outputs) == ["once", "twice"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda map_, rest: (map_, rest),
        lambda map_, rest: [map_, rest],
        lambda map_, rest: {"map": map_, "rest": rest},
        lambda map_, rest: OrderedDict([(0, map_), (1, rest)]),
        Pair,
        lambda map_, rest: (None, map_, rest),
    ],
    ids=["tuple", "list", "dict", "ordered dict with numbers", "named tuple", "after None"],
)
def test_structured_outputs_keep_their_first_tensor_and_their_type(inputs, wrap):
    class Layer(nn.Module):
        def forward(self, x):
            return wrap(x * 2, x * 3)

    layer, plain = Layer(), Layer()(inputs)
    with ActivationRecorder({"layer": layer}) as recorder:
        output = layer(inputs)
    assert type(output) is type(plain)
    assert torch.equal(recorder.outputs["layer"], inputs * 2)
    assert torch.equal(first_tensor(output), inputs * 2)
    rest = list(output.values() if isinstance(output, dict) else output)[-1]
    assert torch.equal(rest, inputs * 3)


def test_a_gradient_flows_through_a_structured_output(inputs):
    class Layer(nn.Module):
        def forward(self, x):
            return {"map": x * 2}

    layer = Layer()
    with ActivationRecorder({"layer": layer}) as recorder:
        score = (layer(inputs)["map"] ** 2).sum()
    (gradient,) = torch.autograd.grad(score, recorder.outputs["layer"])
    torch.testing.assert_close(gradient, 4 * inputs)


def test_an_identity_hands_on_a_copy(inputs):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity(), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(108, 2))
    expected = model[0](inputs).detach()
    with ActivationRecorder({"before": model[0], "identity": model[1]}) as recorder:
        model(inputs)
    assert torch.equal(recorder.outputs["identity"], expected)
    assert torch.equal(recorder.outputs["before"], expected)


def test_hooks_are_gone_after_the_context(inputs):
    conv = nn.Conv2d(3, 3, 1)
    with ActivationRecorder({"conv": conv}) as recorder:
        assert len(conv._forward_hooks) == 1
    assert not conv._forward_hooks
    conv(inputs)
    assert not recorder.outputs


def recording_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 2))


def modes_of(model, inputs, methods):
    """Whether each layer's output was part of a graph, and how many tensors were saved for the backward."""
    modes, saved = {}, []
    for name, module in model.named_children():
        module.register_forward_hook(
            lambda module, args, output, name=name: modes.__setitem__(name, output.requires_grad)
        )
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(1) or tensor, lambda tensor: tensor):
        explain(model, inputs, methods=methods, target=0, target_layers="2")
    return modes, len(saved)


def test_with_class_activation_maps_alone_the_graph_starts_at_the_layer(inputs):
    modes, saved = modes_of(recording_net(), inputs, ["grad_cam", "layer_cam"])
    assert modes == {"0": False, "1": False, "2": False, "3": True, "4": True, "5": True}
    whole, saved_by_whole = modes_of(recording_net(), inputs, ["grad_cam", "gradient"])
    assert all(whole.values())
    assert 0 < saved < saved_by_whole


def test_where_the_graph_starts_does_not_change_the_map(inputs):
    alone = explain(recording_net(), inputs, methods=["grad_cam"], target=0, target_layers="2")
    together = explain(recording_net(), inputs, methods=["grad_cam", "gradient"], target=0, target_layers="2")
    assert torch.equal(alone["grad_cam"].values, together["grad_cam"].values)


def test_a_frozen_network_still_has_a_graph_from_the_layer_on(inputs):
    frozen = recording_net().requires_grad_(False)
    expected = explain(recording_net(), inputs, methods="grad_cam", target=0, target_layers=["0", "2"])["grad_cam"]
    found = explain(frozen, inputs, methods="grad_cam", target=0, target_layers=["0", "2"])["grad_cam"]
    assert torch.equal(found.values, expected.values)
