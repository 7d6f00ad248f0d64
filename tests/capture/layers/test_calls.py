"""A layer that runs several times in one forward: which of its calls make the map."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.errors import SaliencyWarning

FORMULAS = {
    "grad_cam": lambda activation, gradient: (gradient.mean((2, 3), keepdim=True) * activation).sum(1).relu(),
    "hires_cam": lambda activation, gradient: (gradient * activation).sum(1).relu(),
    "layer_cam": lambda activation, gradient: (gradient.relu() * activation).sum(1).relu(),
}


def by_hand(model, layer, inputs, target=1):
    """Activations and gradients of every call, by plain hooks and autograd."""
    outputs = []
    handle = layer.register_forward_hook(lambda module, args, output: outputs.append(output))
    score = model(*inputs)[:, target].sum()
    handle.remove()
    gradients = torch.autograd.grad(score, outputs, allow_unused=True)
    return [output.detach() for output in outputs], gradients


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(12, 2)

    def forward(self, before, after):
        return self.head(torch.cat([self.encoder(before).mean((2, 3)), self.encoder(after).mean((2, 3))], 1))


@pytest.mark.parametrize("target_layers", ["encoder", "encoder.0", "auto"])
@pytest.mark.parametrize("key", [0, 1])
@pytest.mark.parametrize("methods", [["grad_cam"], ["grad_cam", "gradient"]])
def test_a_siamese_network_is_explained_at_the_call_of_the_explained_input(target_layers, key, methods):
    model, pair = Siamese(), (torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8))
    found = explain(model, pair, methods=methods, target=1, target_layers=target_layers, attribute_to=key)["grad_cam"]
    layer = model.encoder[0] if target_layers == "encoder.0" else model.encoder
    activations, gradients = by_hand(model, layer, pair)
    expected = FORMULAS["grad_cam"](activations[key], gradients[key])
    torch.testing.assert_close(found.values[:, 0], expected)


class Views(nn.Module):
    """Test-time augmentation inside the forward."""

    def __init__(self, *views):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.head, self.views = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(6, 2), views

    def forward(self, x):
        return sum(self.head(self.encoder(view(x)).relu().mean((2, 3))) for view in self.views)


VIEWS = {
    "flip": (lambda x: x.flip(-1), lambda x: x.flip(-1)),
    "upside down": (lambda x: x.flip(-2), lambda x: x.flip(-2)),
    "quarter turn": (lambda x: x.rot90(1, (2, 3)), lambda x: x.rot90(-1, (2, 3))),
    "three quarters": (lambda x: x.rot90(3, (2, 3)), lambda x: x.rot90(-3, (2, 3))),
    "transposed": (lambda x: x.transpose(2, 3), lambda x: x.transpose(2, 3)),
    "brighter": (lambda x: x * 1.5 + 0.1, lambda x: x),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("method", FORMULAS)
def test_views_are_turned_back_and_their_terms_summed_before_the_relu(name, method):
    view, undo = VIEWS[name]
    model, x = Views(lambda x: x, view), torch.rand(2, 1, 12, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = explain(model, x, methods=method, target=1, target_layers="encoder")[method]
    activations, gradients = by_hand(model, model.encoder, (x,))
    joined = [torch.cat([first, undo(second)], dim=1) for first, second in (activations, gradients)]
    torch.testing.assert_close(found.values[:, 0], FORMULAS[method](*joined))


@pytest.mark.parametrize("cut", [0, 4], ids=["by its stride", "as a part is cut off"])
def test_a_network_that_sees_places_aside_is_turned_back_too(cut):
    """Without padding, the places of a map lie to one side; where it is flipped, to the other, or not."""
    model, x = Views(lambda x: x[..., cut:], lambda x: x[..., cut:].flip(-1)), torch.rand(1, 1, 17, 17)
    model.encoder = nn.Conv2d(1, 6, 3, padding=1) if cut else nn.Conv2d(1, 6, 4, stride=5)
    found = explain(model, x, methods="layer_cam", target=1, target_layers="encoder")["layer_cam"]
    activations, gradients = by_hand(model, model.encoder, (x,))
    joined = [torch.cat([first, second.flip(-1)], dim=1) for first, second in (activations, gradients)]
    torch.testing.assert_close(found.values[:, 0], FORMULAS["layer_cam"](*joined))


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (lambda x: x[..., :6, :6].repeat_interleave(2, 2).repeat_interleave(2, 3), "not cover the same positions"),
        (lambda x: x[..., ::2, ::2], "differ in size"),
    ],
    ids=["crop", "half the size"],
)
def test_views_of_other_places_are_not_joined_and_it_is_said(view, why):
    model, x = Views(view, lambda x: x), torch.rand(2, 1, 12, 12)
    with pytest.warns(SaliencyWarning, match=rf"layer 'encoder' runs 2 times .*{why}; the map shows only call 2"):
        found = explain(model, x, methods="grad_cam", target=1, target_layers="encoder")["grad_cam"]
    activations, gradients = by_hand(model, model.encoder, (x,))
    torch.testing.assert_close(found.values[:, 0], FORMULAS["grad_cam"](activations[1], gradients[1]))


def test_of_views_of_other_places_the_one_that_lies_as_the_input_does_is_taken():
    crop = lambda x: x[..., :6, :6].repeat_interleave(2, 2).repeat_interleave(2, 3).flip(-1)  # noqa: E731
    model, x = Views(lambda x: x, crop), torch.rand(2, 1, 12, 12)
    with pytest.warns(SaliencyWarning, match="shows only call 1"):
        found = explain(model, x, methods="grad_cam", target=1, target_layers="encoder")["grad_cam"]
    activations, gradients = by_hand(model, model.encoder, (x,))
    torch.testing.assert_close(found.values[:, 0], FORMULAS["grad_cam"](activations[0], gradients[0]))


class Recurrent(nn.Module):
    """One block, four times in a row."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.block, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(4):
            x = x + self.block(x).relu()
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("target_layers", ["block", "auto"])
def test_of_calls_that_feed_each_other_the_last_counts(target_layers):
    model, x = Recurrent(), torch.rand(2, 1, 8, 8)
    found = explain(model, x, methods="grad_cam", target=1, target_layers=target_layers)["grad_cam"]
    activations, gradients = by_hand(model, model.block, (x,))
    assert found.layer == "block"
    torch.testing.assert_close(found.values[:, 0], FORMULAS["grad_cam"](activations[-1], gradients[-1]))


def test_two_streams_of_recurrences():
    class Net(Recurrent):
        def forward(self, x, other):
            return super().forward(x) - super().forward(other)

    model, pair = Net(), (torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8))
    for key, call in ((0, 3), (1, 7)):
        found = explain(model, pair, methods="grad_cam", target=1, target_layers="block", attribute_to=key)["grad_cam"]
        activations, gradients = by_hand(model, model.block, pair)
        torch.testing.assert_close(found.values[:, 0], FORMULAS["grad_cam"](activations[call], gradients[call]))


def test_a_reshape_transform_reads_every_call():
    model, x = Views(lambda x: x, lambda x: x.flip(-1)), torch.rand(2, 1, 12, 12)
    settings = {"methods": "grad_cam", "target": 1, "target_layers": "encoder"}
    found = explain(model, x, reshape_transform=lambda output: output[:, :3], **settings)["grad_cam"]
    activations, gradients = by_hand(model, model.encoder, (x,))
    joined = [torch.cat([one[:, :3], two[:, :3].flip(-1)], dim=1) for one, two in (activations, gradients)]
    torch.testing.assert_close(found.values[:, 0], FORMULAS["grad_cam"](*joined))
