"""The map of a sample is the same whether it is explained alone or with others, through norms and transposed tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.layers.places import measure_places

METHODS = ["gradient", "grad_cam", "layer_cam"]


class Functional(nn.Module):
    """A batch norm without a module."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.linspace(-1, 1, channels))
        self.register_buffer("variance", torch.linspace(0.5, 2, channels))

    def forward(self, maps):
        return F.batch_norm(maps, self.mean, self.variance)


class Tokens(nn.Module):
    """A convolution and a norm whose map is read as tokens."""

    def __init__(self, norm):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = norm(8)
        self.mix = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8))
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        tokens = self.norm(self.stem(images)).flatten(2).transpose(1, 2)
        return self.head(torch.tanh(self.mix(tokens)).mean(dim=1))


NORMS = {
    "batch": nn.BatchNorm2d,
    "functional batch": Functional,
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "instance with statistics": lambda channels: nn.InstanceNorm2d(channels, track_running_stats=True),
    "group": lambda channels: nn.GroupNorm(2, channels),
}


@pytest.fixture(params=NORMS)
def model(request):
    torch.manual_seed(0)
    return Tokens(NORMS[request.param]).eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 7, 9, generator=torch.Generator().manual_seed(1))


def test_one_sample_is_explained_as_it_is_among_others(model, images):
    several = explain(model, images, methods=METHODS, target=1, target_layers="stem")
    one = explain(model, images[:1], methods=METHODS, target=1, target_layers="stem")
    for name in METHODS:
        assert several[name].values.abs().max() > 0
        torch.testing.assert_close(one[name].values, several[name].values[:1])


def test_so_is_the_rest_of_a_batch_in_parts(model, images):
    whole = explain(model, images, methods=METHODS, target=1, target_layers="stem")
    parts = explain(model, images, methods=METHODS, target=1, target_layers="stem", internal_batch_size=2)
    for name in METHODS:
        torch.testing.assert_close(parts[name].values, whole[name].values)


def test_the_places_of_a_map_are_those_that_it_has_among_others(images):
    torch.manual_seed(0)
    model = Tokens(nn.BatchNorm2d).eval()

    def measured(rows):
        rows = rows.clone().requires_grad_()
        tokens = model.mix[0](model.norm(model.stem(rows)).flatten(2).transpose(1, 2))
        return measure_places(rows, tokens.transpose(1, 2).reshape(len(rows), 8, 7, 9))

    one, same = measured(images[:1]), measured(images[:1].repeat(8, 1, 1, 1))
    torch.testing.assert_close(one.center, same.center, rtol=0, atol=0.05)
    torch.testing.assert_close(one.shift, same.shift, rtol=0, atol=0.05)
