"""What is a map of the explained input, and what only has the shape of one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.errors import LayerError


class Attention(nn.Module):
    """Every step is a layer, so that each could be taken for a map."""

    def __init__(self, dim=16, heads=4, *, fused=False):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.query_norm, self.softmax, self.out = nn.LayerNorm(dim // heads), nn.Softmax(-1), nn.Linear(dim, dim)
        self.heads, self.fused = heads, fused

    def forward(self, x, context):
        q, k, v = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in ((self.query, x), (self.key, context), (self.value, context))
        )
        q = self.query_norm(q)
        mixed = F.scaled_dot_product_attention(q, k, v) if self.fused else self.softmax(q @ k.transpose(-2, -1)) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, *, fused):
        super().__init__()
        self.norm, self.attention, self.mlp = nn.LayerNorm(16), Attention(fused=fused), nn.Linear(16, 16)

    def forward(self, x):
        normed = self.norm(x)
        x = x + self.attention(normed, normed)
        return x + self.mlp(x).relu()


class VisionTransformer(nn.Module):
    def __init__(self, *, n_class=0, n_registers=0, has_conv=True, fused=False, patch=8, frozen=False):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Conv2d(3, 16, patch, patch) if has_conv else nn.Linear(3 * patch**2, 16)
        self.tokens, self.registers = nn.Parameter(torch.randn(n_class, 16)), nn.Parameter(torch.randn(n_registers, 16))
        self.blocks = nn.Sequential(Block(fused=fused), Block(fused=fused))
        self.head, self.has_conv, self.patch = nn.Linear(16, 3), has_conv, patch
        self.tokens.requires_grad_(not frozen)
        self.registers.requires_grad_(not frozen)

    def forward(self, x):
        if self.has_conv:
            x = self.embed(x).flatten(2).transpose(1, 2)
        else:
            x = self.embed(F.unfold(x, self.patch, stride=self.patch).transpose(1, 2))
        n = len(x)
        parts = (self.tokens.expand(n, -1, -1), x, self.registers.expand(n, -1, -1))
        x = torch.cat([part for part in parts if part.shape[1]], dim=1)
        x = self.blocks(x)
        return self.head(x[:, 0] if len(self.tokens) else x.mean(1))


def auto(model, x, **settings):
    settings = {"target": lambda output: output.square().sum(1)} | settings
    return explain(model, x, methods="layer_cam", **settings)["layer_cam"]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("has_conv", [False, True])
@pytest.mark.parametrize(("n_class", "expected"), [(0, "blocks"), (1, "blocks.1.norm"), (2, "blocks.1.norm")])
def test_a_vision_transformer_is_read_in_its_residual_stream(fused, has_conv, n_class, expected):
    x = torch.rand(2, 3, 32, 32)
    found = auto(VisionTransformer(n_class=n_class, has_conv=has_conv, fused=fused), x)
    assert (found.layer, found.values.shape[2:]) == (expected, (4, 4))


@pytest.mark.parametrize("layer", ["attention.softmax", "attention.query_norm"])
def test_what_an_attention_multiplies_is_no_map_even_by_name(layer):
    with pytest.raises(LayerError, match="not a spatial map"):
        auto(VisionTransformer(n_class=1), torch.rand(2, 3, 32, 32), target_layers=f"blocks.0.{layer}")


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("n_class", "n_registers"), [(0, 4), (1, 0), (2, 0)])
def test_tokens_of_the_models_own_are_left_out_on_their_side(n_class, n_registers, frozen):
    model = VisionTransformer(n_class=n_class, n_registers=n_registers, frozen=frozen)
    x = torch.rand(2, 3, 32, 32)
    found = auto(model, x, target_layers="blocks.0")
    outputs = []
    model.blocks[0].register_forward_hook(lambda module, args, output: outputs.append(output))
    score = model(x).square().sum()
    (gradient,) = torch.autograd.grad(score, outputs[0])
    expected = (gradient.relu() * outputs[0]).sum(-1).relu()[:, n_class : n_class + 16].unflatten(1, (4, 4))
    torch.testing.assert_close(found.values[:, 0], expected.detach())


def test_tokens_on_both_sides_are_left_out():
    found = auto(VisionTransformer(n_class=1, n_registers=3), torch.rand(2, 3, 32, 32))
    assert (found.layer, found.values.shape[2:]) == ("blocks.1.norm", (4, 4))


class Queries(nn.Module):
    """As many queries as the picture has patches, so that their number does not tell."""

    def __init__(self, *, fused, n_queries=16):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.norm, self.queries = (
            nn.Conv2d(3, 16, 8, 8),
            nn.LayerNorm(16),
            nn.Parameter(torch.randn(n_queries, 16)),
        )
        self.cross, self.itself = Attention(fused=fused), Attention(fused=fused)
        self.decoder, self.head = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x):
        memory = self.norm(self.embed(x).flatten(2).transpose(1, 2))
        queries = self.queries.expand(len(x), -1, -1)
        queries = queries + self.cross(queries, memory)
        queries = self.decoder(queries + self.itself(queries, queries))
        return self.head(queries).mean(1)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("n_queries", [16, 4, 9])
def test_queries_and_latents_are_no_picture(fused, n_queries):
    model, x = Queries(fused=fused, n_queries=n_queries), torch.rand(2, 3, 32, 32)
    assert auto(model, x).layer == "norm"
    with pytest.raises(LayerError, match="not a spatial map"):
        auto(model, x, target_layers="decoder")


def segmenter(head, channels=8):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1))
    return nn.Sequential(nn.Sequential(body, nn.ReLU(), head))


class Resized(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        logits = self.body(x)
        return {"out": F.interpolate(logits, scale_factor=2.0, mode="bilinear").softmax(1), "aux": logits.mean()}


DENSE = {
    "logits": (lambda: segmenter(nn.Conv2d(8, 2, 1)), lambda output: output[:, 1].mean((1, 2))),
    "sigmoid": (
        lambda: segmenter(nn.Sequential(nn.Conv2d(8, 1, 1), nn.Sigmoid())),
        lambda output: output.mean((1, 2, 3)),
    ),
    "upsampled": (
        lambda: segmenter(nn.Sequential(nn.Conv2d(8, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear"))),
        lambda output: output[:, 1].amax((1, 2)),
    ),
    "dictionary": (lambda: Resized(segmenter(nn.Conv2d(8, 2, 1))), lambda output: output["out"][:, 1].mean((1, 2))),
    "pixel shuffle": (
        lambda: segmenter(nn.Sequential(nn.Conv2d(8, 8, 1), nn.PixelShuffle(2))),
        lambda output: output[:, 1].mean((1, 2)),
    ),
    "blurred": (
        lambda: segmenter(nn.Sequential(nn.Conv2d(8, 2, 1), nn.Conv2d(2, 2, 3, padding=1, groups=2))),
        lambda output: output[:, 1].mean((1, 2)),
    ),
    "squeezed": (
        lambda: segmenter(nn.Sequential(nn.Conv2d(8, 1, 1), nn.Flatten(1, 2))),
        lambda output: output.mean((1, 2)),
    ),
}


@pytest.mark.parametrize("name", DENSE)
def test_the_prediction_of_a_dense_model_is_no_explanation_of_itself(name):
    make, target = DENSE[name]
    model = make()
    found = auto(model, torch.rand(2, 3, 16, 16), target=target)
    prefix = "body." if name == "dictionary" else ""
    assert found.layer == f"{prefix}0.1"


def test_a_reconstruction_is_what_an_anomaly_map_reads_but_features_are_not():
    class Difference(nn.Module):
        def __init__(self, n_out):
            super().__init__()
            torch.manual_seed(0)
            self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
            self.decoder = nn.Conv2d(8, n_out, 3, padding=1)
            self.teacher = nn.Parameter(torch.randn(n_out, 3))

        def forward(self, x):
            expected = torch.einsum("nchw,kc->nkhw", x, self.teacher) if len(self.teacher) > 3 else x
            return (expected - self.decoder(self.encoder(x))).square().mean(1)

    x, target = torch.rand(2, 3, 16, 16), lambda output: output.mean((1, 2))
    assert auto(Difference(3), x, target=target).layer == "encoder"
    assert auto(Difference(12), x, target=target).layer == "decoder"


@pytest.mark.parametrize("returns_map", [False, True])
def test_a_classifier_that_averages_a_map_of_its_classes_keeps_it(returns_map):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.classes = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 1)

        def forward(self, x):
            map_ = self.classes(self.body(x).relu())
            return (map_.mean((2, 3)), map_) if returns_map else map_.mean((2, 3))

    model, x = Net(), torch.rand(2, 3, 8, 8)
    found = explain(model, x, methods="grad_cam", target=lambda out: (out[0] if returns_map else out)[:, 1])["grad_cam"]
    assert found.layer == "classes"
    # The class activation map of Zhou et al. 2016: the map of that class, over the number of places.
    map_ = model.classes(model.body(x).relu())[:, 1].detach()
    torch.testing.assert_close(found.values[:, 0], map_.relu() / map_[0].numel())


def test_nothing_but_a_prediction_is_said():
    with pytest.raises(LayerError, match="the only layers with a map are the explained prediction"):
        auto(
            nn.Sequential(nn.Conv2d(3, 1, 3, padding=1)), torch.rand(1, 3, 8, 8), target=lambda out: out.mean((1, 2, 3))
        )


class TwoStreams(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rgb, self.depth, self.joined = nn.Conv2d(3, 6, 3), nn.Conv2d(1, 6, 3), nn.Conv2d(12, 6, 1)
        self.head = nn.Linear(12, 2)

    def forward(self, rgb, depth):
        return self.head(torch.cat([self.rgb(rgb).relu().mean((2, 3)), self.depth(depth).relu().mean((2, 3))], 1))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("methods", ["layer_cam", ["layer_cam", "gradient"]])
def test_the_layer_depends_on_the_explained_input(frozen, methods):
    model = TwoStreams().requires_grad_(not frozen)
    inputs = {"rgb": torch.rand(2, 3, 8, 8), "depth": torch.rand(2, 1, 8, 8)}
    settings = {"methods": methods, "target": lambda output: output.square().sum(1)}
    for key, other in (("rgb", "depth"), ("depth", "rgb")):
        assert explain(model, inputs, attribute_to=key, **settings)["layer_cam"].layer == key
        with pytest.raises(
            LayerError, match=rf"'{other}' does not depend on the explained input '{key}'.*the last are '{key}'"
        ):
            explain(model, inputs, attribute_to=key, target_layers=other, **settings)


def test_a_stream_without_a_graph_is_told_from_the_explained_one():
    class Net(TwoStreams):
        def forward(self, rgb, depth):
            with torch.no_grad():
                rgb, depth = self.rgb(rgb), self.depth(depth)
            return self.head(torch.cat([rgb.relu().mean((2, 3)), depth.relu().mean((2, 3))], 1))

    inputs = {"rgb": torch.rand(2, 3, 8, 8), "depth": torch.rand(2, 1, 8, 8)}
    for key in inputs:
        found = explain(Net(), inputs, methods="layer_cam", attribute_to=key, target=lambda out: out.square().sum(1))
        assert found["layer_cam"].layer == key


@pytest.mark.parametrize("as_module", [False, True])
def test_scalars_among_the_outputs_are_passed_over(as_module):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head, self.loss = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), nn.CrossEntropyLoss()

        def forward(self, pixels, labels):
            logits = self.head(self.conv(pixels).relu().mean((2, 3)))
            return {"loss": self.loss(logits, labels), "logits": logits}

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def forward(self, pixels, labels):
            return self.net(pixels, labels)

    model = Outer() if as_module else Net()
    inputs = {"pixels": torch.rand(3, 3, 8, 8), "labels": torch.tensor([0, 1, 2])}
    found = explain(model, inputs, methods=["layer_cam", "gradient"], target=1, output_fn=lambda out: out["logits"])
    assert found["layer_cam"].layer == ("net.conv" if as_module else "conv")
