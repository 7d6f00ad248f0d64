"""Target layers by name, module, list; and what a wrong one is told."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.layers.find import find_layers
from saliency_callbacks.errors import LayerError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.tied = self.features[0]
        self.never = nn.Conv2d(3, 4, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 5)
        self.head.weight.data.abs_()

    def forward(self, x):
        return self.head(self.pool(self.features(x)).flatten(1))


@pytest.fixture
def inputs():
    return torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def test_names_modules_and_lists_are_the_same():
    model = Net()
    conv = model.features[0]
    for given in ("features.0", conv, ["features.0"], (conv,), "tied"):
        assert dict(find_layers(model, given)) == {"features.0": conv}
    assert list(find_layers(model, ["features.1", conv])) == ["features.1", "features.0"]


def test_one_module_under_two_names_is_one_layer():
    assert list(find_layers(Net(), ["features.0", "tied"])) == ["features.0"]


def test_names_of_the_model_inside_a_compiled_one():
    model = Net()
    compiled = torch.compile(model, backend="eager")
    for given in ("features.0", "_orig_mod.features.0", model.features[0], "tied"):
        assert dict(find_layers(compiled, given)) == {"_orig_mod.features.0": model.features[0]}
    outer = nn.ModuleDict({"net": torch.compile(model, backend="eager")})
    assert dict(find_layers(outer, "net.features.1")) == {"net._orig_mod.features.1": model.features[1]}


@pytest.mark.parametrize(
    ("target_layers", "message"),
    [
        ("featurs.0", r"Net has no layer 'featurs.0'; did you mean 'features.0'"),
        ("layer4", r"Net has no layer 'layer4'; .*Use a name of `model.named_modules\(\)`"),
        ("", r"Net has no layer ''"),
        (7, r"target layer 7 is of type int; expected 'auto', a module name"),
        ([["features.0"]], r"target layer \['features.0'\] is of type list"),
        (["auto"], r"'auto' is given in a list; expected it on its own"),
        ([], r"target_layers is empty; expected 'auto'"),
        (nn.Conv2d(3, 4, 3), r"Conv2d is not a module of the explained Net; give a module of this model"),
        ("never", r"'never' \(Conv2d\) did not run.*Choose a layer that `forward` calls"),
        ("pool", r"'pool' has output \[2, 4, 1, 1\], which is not a spatial map .*\[6, 6\]. Choose an earlier layer"),
        ("head", r"'head' has output \[2, 5\], which is not a spatial map"),
    ],
)
def test_a_wrong_layer_is_told_what_is_right(inputs, target_layers, message):
    with pytest.raises(LayerError, match=message):
        explain(Net(), inputs, methods="grad_cam", target=0, target_layers=target_layers)


def test_a_module_of_a_copy_is_not_of_the_model(inputs):
    model = Net()
    with pytest.raises(LayerError, match="not of a copy"):
        explain(model, inputs, methods="grad_cam", target_layers=copy.deepcopy(model).features)


def test_layers_are_not_looked_at_for_input_methods(inputs):
    assert explain(Net(), inputs, methods="gradient", target_layers="not there")["gradient"].layer is None


@pytest.mark.parametrize(
    ("reshape", "message"),
    [
        (lambda output: output.flatten(1), r"turned the output \[2, 4, 6, 6\] .* into \[2, 144\]; expected \[N, K"),
        (lambda output: None, "into NoneType"),
        (lambda output: output[:1], r"read as maps \[1, 4, 6, 6\], for 2 samples; expected one map per sample"),
    ],
)
def test_a_reshape_transform_that_makes_no_map(inputs, reshape, message):
    with pytest.raises(LayerError, match=message):
        explain(Net(), inputs, methods="grad_cam", target_layers="features", reshape_transform=reshape)


def test_reshape_transform(inputs):
    class Flat(nn.Module):
        def forward(self, x):
            return x.flatten(1)

    model = Net()
    model.pool = nn.Sequential(Flat(), nn.Unflatten(1, (4, 6, 6)), nn.AdaptiveAvgPool2d(1))
    with pytest.raises(LayerError, match="reshape_transform"):
        explain(model, inputs, methods="grad_cam", target=0, target_layers="pool.0")
    found = explain(
        model,
        inputs,
        methods="grad_cam",
        target=0,
        target_layers="pool.0",
        reshape_transform=lambda output: output.unflatten(1, (4, 6, 6)),
    )
    expected = explain(model, inputs, methods="grad_cam", target=0, target_layers="features")
    torch.testing.assert_close(found["grad_cam"].values, expected["grad_cam"].values)


def test_frames_as_rows_are_maps_of_their_sample(inputs):
    class Frames(nn.Module):
        """Runs an image network over the frames of a video, as one large batch."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = Net()

        def forward(self, x):
            return self.net(x.flatten(0, 1)).unflatten(0, (x.shape[0], 2)).mean(1)

    frames = torch.stack([inputs, inputs.flip(-1)], dim=1)
    settings = {"methods": "grad_cam", "target": 0}
    found = explain(Frames(), frames, target_layers="net.features", **settings)["grad_cam"].values
    for number, frame in enumerate((inputs, inputs.flip(-1))):
        alone = explain(Net(), frame, target_layers="features", **settings)["grad_cam"].values
        # The score is the mean over both.
        torch.testing.assert_close(found[:, :, number], alone / 2)


def test_other_rows_than_frames_are_no_maps(inputs):
    class Crops(nn.Module):
        """Runs an image network over an image and its mirror image, as one large batch."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = Net()

        def forward(self, x):
            return self.net(torch.cat([x, x.flip(-1)])).unflatten(0, (2, len(x))).mean(0)

    with pytest.raises(LayerError, match="spatial"):
        explain(Crops(), inputs, methods="grad_cam", target=0, target_layers="net.features")
