"""The layer nobody named: the last one with a spatial map and a gradient."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers.auto import find_target_layer
from saliency_callbacks.errors import DegenerateMapWarning, LayerError

EXPECTED = {
    "resnet18": ("layer4", (2, 3)),
    "vgg19": ("features", (2, 3)),
    "mobilenet_v2": ("features", (2, 3)),
    "densenet121": ("features", (2, 3)),
    "efficientnet_b0": ("features", (2, 3)),
    "convnext_tiny": ("features", (2, 3)),
    "swin_t": ("permute", (2, 3)),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_torchvision(name):
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=4)
    # The sum over the classes is positive evidence somewhere; one random class may have none.
    found = explain(model, torch.rand(1, 3, 64, 96), methods="layer_cam", target=lambda output: output.abs().sum(1))
    assert (found["layer_cam"].layer, found["layer_cam"].values.shape[2:]) == EXPECTED[name]
    assert found["layer_cam"].heatmap.shape == (1, 64, 96)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_torchvision_vit_b_16():
    torch.manual_seed(0)
    model = with_trained_head(torchvision.models.vit_b_16())
    found = explain(model, torch.rand(1, 3, 224, 224), methods="grad_cam", target=0)["grad_cam"]
    assert found.layer == "encoder.layers.encoder_layer_11.ln_1"
    assert found.values.shape == (1, 1, 14, 14)


def small_vit(**changes):
    torch.manual_seed(0)
    arguments = {
        "image_size": 32,
        "patch_size": 8,
        "num_layers": 3,
        "num_heads": 2,
        "hidden_dim": 16,
        "mlp_dim": 32,
        "num_classes": 5,
    }
    return torchvision.models.VisionTransformer(**arguments | changes)


def with_trained_head(vit):
    nn.init.normal_(vit.heads.head.weight)
    return vit


@pytest.fixture
def inputs():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("methods", [["layer_cam"], ["layer_cam", "gradient"]])
def test_the_last_block_of_a_vit_has_no_gradient_beyond_the_class_token(inputs, methods):
    found = explain(with_trained_head(small_vit()), inputs, methods=methods, target=0)["layer_cam"]
    assert found.layer == "encoder.layers.encoder_layer_2.ln_1"
    assert found.values.shape == (2, 1, 4, 4)
    assert found.values.flatten(1).any(dim=1).all()


def test_explicit_layers_after_the_last_attention_are_named_as_degenerate(inputs):
    with pytest.warns(DegenerateMapWarning, match=r"grad_cam: 2 of 2 maps .*'encoder.ln'.*without gradient"):
        explain(with_trained_head(small_vit()), inputs, methods="grad_cam", target=0, target_layers="encoder.ln")


def test_a_head_of_zeros_blocks_every_gradient_but_not_the_search(inputs):
    model = small_vit()
    assert not model.heads.head.weight.any()
    with pytest.warns(DegenerateMapWarning, match="a zero-initialized head"):
        found = explain(model, inputs, methods="grad_cam", target=0)["grad_cam"]
    assert found.layer == "encoder.layers.encoder_layer_2.ln_1"
    assert not model.heads.head.weight.any()


class TokenClassifier(nn.Module):
    """Patches and a class token through ``nn.TransformerEncoder``."""

    def __init__(self, *, norm_first, batch_first, pooled=False):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(
            8, 2, 16, dropout=0.1, norm_first=norm_first, batch_first=batch_first, activation=F.relu
        )
        self.patches = nn.Conv2d(3, 8, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)
        self.batch_first, self.pooled = batch_first, pooled

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1)
        if not self.batch_first:
            tokens = tokens.transpose(0, 1)
        encoded = self.encoder(tokens)
        if not self.batch_first:
            encoded = encoded.transpose(0, 1)
        return self.head(encoded.mean(1) if self.pooled else encoded[:, 0])


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    ("norm_first", "pooled", "expected"),
    [
        (True, False, "encoder.layers.1.norm1"),
        (False, False, "encoder.layers.0"),
        (True, True, "encoder"),
        (False, True, "encoder"),
    ],
)
def test_transformer_encoder(batch_first, norm_first, pooled, expected):
    model = TokenClassifier(norm_first=norm_first, batch_first=batch_first, pooled=pooled)
    x = 4 * torch.randn(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    found = explain(model, x, methods="layer_cam", target=lambda output: output.square().sum(1))["layer_cam"]
    assert found.layer == expected
    assert found.values.shape == (2, 1, 2, 4)
    named = explain(model, x, methods="layer_cam", target=lambda output: output.square().sum(1), target_layers=expected)
    assert torch.equal(named["layer_cam"].values, found.values)


@pytest.mark.parametrize("n_samples", [4, 9, 16])
def test_samples_in_the_second_place_are_never_taken_for_tokens(n_samples):
    """As many samples as a square has places; the map must be the one of batch-first."""
    x = 4 * torch.randn(n_samples, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    maps = [
        explain(
            TokenClassifier(norm_first=True, batch_first=batch_first),
            x,
            methods="layer_cam",
            target=lambda output: output.square().sum(1),
            target_layers="encoder.layers.0",
        )["layer_cam"].values
        for batch_first in (True, False)
    ]
    torch.testing.assert_close(maps[1], maps[0])


def test_a_compiled_model():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 4, 3)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(F.relu(self.conv(x)).mean((2, 3)))

    model, x = Net(), torch.rand(2, 3, 8, 8)
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    expected = explain(model, x, methods=["gradient", "layer_cam", "guided_backprop"], target=1)
    for target_layers in ("auto", "conv"):
        found = explain(
            compiled, x, methods=["gradient", "layer_cam", "guided_backprop"], target=1, target_layers=target_layers
        )
        for name in expected:
            torch.testing.assert_close(found[name].values, expected[name].values)
    in_place = Net()
    in_place.compile(backend="eager")
    in_place(x)
    found = explain(in_place, x, methods="layer_cam", target=1)["layer_cam"]
    torch.testing.assert_close(found.values, expected["layer_cam"].values)
    torch._dynamo.reset()


@pytest.mark.parametrize("spatial", [(40,), (16, 24), (6, 8, 10)])
def test_one_two_and_three_dimensions(spatial):
    torch.manual_seed(0)
    conv, norm = {1: (nn.Conv1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[
        len(spatial)
    ]
    model = nn.Sequential(
        conv(2, 4, 3, stride=2), nn.ReLU(), conv(4, 4, 3, padding=1), norm(4), nn.Flatten(2), nn.Flatten()
    )
    model.append(nn.Linear(4 * math.prod((size - 1) // 2 for size in spatial), 3))
    found = explain(model, torch.rand(2, 2, *spatial), methods="layer_cam", target=lambda output: output.abs().sum(1))
    # For signals, the flattened map still is one.
    assert found["layer_cam"].layer == ("4" if len(spatial) == 1 else "3")
    assert found["layer_cam"].values.shape[2:] == tuple((size - 1) // 2 for size in spatial)


def test_dropout_identity_and_pooling_to_a_size_are_passed_over():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Dropout2d(0.5), nn.Identity(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 2)
    )
    found = explain(model, torch.rand(2, 3, 8, 8), methods="layer_cam", target=lambda output: output.abs().sum(1))
    assert found["layer_cam"].layer == "0"


def test_of_nested_modules_the_outermost_wins():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU())))
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    found = explain(model, torch.rand(2, 3, 8, 8), methods="layer_cam", target=lambda output: output.abs().sum(1))
    assert found["layer_cam"].layer == "0"


def test_a_branch_that_the_score_ignores_is_passed_over():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.auxiliary, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

        def forward(self, x):
            x = self.conv(x)
            return self.head(x.mean((2, 3))), self.auxiliary(x)

    found = explain(Net(), torch.rand(2, 3, 8, 8), methods="layer_cam", target=lambda output: output[0].abs().sum(1))
    assert found["layer_cam"].layer == "conv"


@pytest.mark.parametrize("model", [nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), nn.Flatten()])
def test_no_layer_at_all(model):
    with pytest.raises(
        LayerError, match=r"has a spatial map that the explained score depends on\. Give `target_layers=`"
    ):
        explain(model, torch.rand(2, 3, 4, 4), methods="grad_cam", target=0)


class Rows(list):
    """How many a model was fed. Of a plain list, the content would be put back."""


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_no_more_rows_than_allowed_are_run_while_searching():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head, self.rows = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), Rows()

        def forward(self, x):
            self.rows.append(len(x))
            return self.head(self.conv(x).mean((2, 3)))

    for size, target in ((1, 0), (1, lambda output: output[:, 0]), (2, lambda output: output[:, 0]), (3, 0)):
        model = Net()
        explain(model, torch.rand(5, 3, 8, 8), methods="layer_cam", target=target, internal_batch_size=size)
        assert max(model.rows) <= size


@pytest.mark.parametrize(
    ("silent", "n_rows", "expected"),
    [
        ([], (1, 3), [1]),
        (["sample"], (1, 3), [1, 3]),
        (["sample"], (3,), [3]),
        (["head"], (1,), [1, 1]),
        (["head"], (1, 3), [1, 3, 3]),
        (["head", "sample"], (1, 3), [1, 3, 3]),
        (["head"], (1, 1), [1, 1]),
        (["head"], (1, 9), [1, 5, 5]),
    ],
)
def test_more_rows_are_run_only_where_the_first_has_no_gradient_and_other_weights_last(silent, n_rows, expected):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv2d(3, 4, 3, bias=False), nn.Linear(4, 2, bias=False)
            self.rows = []

        def forward(self, x):
            self.rows.append(len(x))
            return self.head(self.conv(x).mean((2, 3)))

    model, x = Net(), torch.rand(5, 3, 8, 8)
    if "sample" in silent:
        x[0] = 0
    if "head" in silent:
        nn.init.zeros_(model.head.weight)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    # The gradient of a square is zero where the output is.
    found = find_target_layer(model, ModelInputs.of(x, None), lambda output, _: output.square().sum(1), n_rows=n_rows)
    assert found == "conv"
    assert model.rows == expected
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())


class Strided(nn.Module):
    """Halves or quarters one dimension only, so that the channels have the size of the input."""

    def __init__(self, layers, n_features):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = layers, nn.Linear(n_features, 3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.mark.parametrize("target_layers", ["auto", "body"])
@pytest.mark.parametrize(
    ("layers", "spatial", "expected"),
    [
        (lambda: nn.Conv2d(1, 16, 3, stride=(1, 4), padding=1), (16, 16), (16, 4)),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 64, 3, stride=(1, 2), padding=1), nn.ReLU(), nn.MaxPool2d((1, 2))),
            (64, 128),
            (64, 32),
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 16, 3, stride=(1, 4), padding=1), nn.Sequential(nn.ReLU())),
            (16, 16),
            (16, 4),
        ),
    ],
    ids=["convolution", "pooling last", "activation last"],
)
def test_strides_that_change_the_aspect(target_layers, layers, spatial, expected):
    model = Strided(layers(), 64 if spatial[0] == 64 else 16)
    found = explain(
        model,
        torch.rand(2, 1, *spatial),
        methods="layer_cam",
        target=lambda output: output.abs().sum(1),
        target_layers=target_layers,
    )["layer_cam"]
    assert (found.layer, found.values.shape[2:]) == ("body", expected)


class Block(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(16), nn.MultiheadAttention(16, 2, batch_first=batch_first)
        self.mlp = nn.Sequential(nn.Linear(16, 16), nn.GELU())

    def forward(self, x):
        normed = self.norm(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        return x + self.mlp(x)


class SignalTransformer(nn.Module):
    def __init__(self, *, n_prefix, batch_first):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv1d(2, 16, 4, stride=4)
        self.tokens = nn.Parameter(torch.randn(n_prefix, 16))
        self.blocks = nn.Sequential(Block(batch_first), Block(batch_first))
        self.head = nn.Linear(16, 5)
        self.batch_first = batch_first

    def forward(self, x):
        tokens = self.patches(x).transpose(1, 2)
        tokens = torch.cat([self.tokens.expand(len(x), -1, -1), tokens], dim=1)
        encoded = self.blocks(tokens if self.batch_first else tokens.transpose(0, 1))
        return self.head(encoded.mean(1 if self.batch_first else 0))


@pytest.mark.parametrize("n_prefix", [0, 1, 5])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("target_layers", ["auto", "blocks"])
def test_transformer_blocks_of_ones_own_on_a_signal(n_prefix, batch_first, target_layers):
    model, x = SignalTransformer(n_prefix=n_prefix, batch_first=batch_first), torch.randn(3, 2, 100)
    found = explain(
        model, x, methods="layer_cam", target=lambda output: output.abs().sum(1), target_layers=target_layers
    )["layer_cam"]
    assert (found.layer, found.values.shape) == ("blocks", (3, 1, 25))


def test_what_no_layer_may_come_from_is_named():
    class WithoutGradients(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        @torch.no_grad()
        def forward(self, x):
            # Of what leaves torch, no gradient can be recorded.
            return self.head(torch.from_numpy(self.conv(x).numpy()).mean((2, 3)))

    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, dtype=torch.cfloat), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.conv(x.to(torch.cfloat)).abs().mean((2, 3)))

    for model, cause in ((WithoutGradients(), r"run under `torch.no_grad\(\)`$"), (Complex(), "complex-valued$")):
        with pytest.raises(LayerError, match=cause):
            explain(model, torch.rand(2, 3, 8, 8), methods="grad_cam", target=0)
