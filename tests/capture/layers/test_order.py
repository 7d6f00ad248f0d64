"""Maps whose positions are in another order than the input's are an error, however plausible their shape is."""

from __future__ import annotations

from contextlib import suppress

import pytest
import timm
import torch
import transformers
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.errors import LayerError

ELSEWHERE = "are in an order of their own"
SIDE, PATCH = 32, 4


def regrouped(tokens):
    """Return first the upper left patch of each 2×2 window, then the upper right one of each, …, as pooling wants."""
    side = SIDE // PATCH // 2
    return tokens.unflatten(2, (side, 2, side, 2)).permute(0, 1, 3, 5, 2, 4).flatten(2)


ORDERS = {
    "columns": lambda maps: maps.mT.flatten(2),
    "backwards": lambda maps: maps.flatten(2).flip(2),
    "mirrored": lambda maps: maps.flip(3).flatten(2),
    "every other row": lambda maps: torch.cat([maps[:, :, ::2], maps[:, :, 1::2]], dim=2).flatten(2),
    "windows": lambda maps: regrouped(maps.flatten(2)),
    "shuffled": lambda maps: maps.flatten(2)[:, :, torch.randperm(64)],
    "shuffled each": lambda maps: torch.stack([one[:, torch.randperm(64)] for one in maps.flatten(2)]),
}


class Transformer(nn.Module):
    """Patches in some order, mixed by two blocks."""

    def __init__(self, order=lambda maps: maps.flatten(2)):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.order = nn.Conv2d(3, 16, PATCH, stride=PATCH), order
        block = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False).layers
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        tokens = self.order(self.patches(x)).mT
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(dim=1))


def pictures(n_samples=2, side=SIDE):
    return torch.randn(n_samples, 3, side, side, generator=torch.Generator().manual_seed(0))


def grad_cam(model, inputs, **settings):
    return explain(model.eval(), inputs, methods="grad_cam", target=1, **settings)["grad_cam"]


@pytest.mark.parametrize("target_layers", ["auto", ["blocks.0"], ["blocks.1"]])
@pytest.mark.parametrize("order", ORDERS)
def test_tokens_in_an_order_of_their_own(order, target_layers):
    with pytest.raises(LayerError, match=ELSEWHERE):
        grad_cam(Transformer(ORDERS[order]), pictures(), target_layers=target_layers)


@pytest.mark.parametrize("target_layers", ["auto", ["blocks.0"], ["blocks.1"]])
def test_tokens_row_by_row(target_layers):
    assert grad_cam(Transformer(), pictures(), target_layers=target_layers).values.shape[2:] == (8, 8)


def test_an_order_that_is_told():
    expected = grad_cam(Transformer(), pictures(), target_layers=["blocks.1"])
    found = grad_cam(
        Transformer(ORDERS["columns"]),
        pictures(),
        target_layers=["blocks.1"],
        reshape_transform=lambda tokens: tokens.mT.unflatten(2, (8, 8)).mT,
    )
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("turned", [lambda x: x.mT, lambda x: x.flip(2), lambda x: x.flip(3)])
def test_a_convolution_that_sees_the_picture_turned(turned):
    class Turned(nn.Sequential):
        def forward(self, x):
            return super().forward(turned(x))

    torch.manual_seed(0)
    model = Turned(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(LayerError, match=ELSEWHERE):
        grad_cam(model, pictures(), target_layers=["0"])


def test_a_volume_whose_slices_come_last_inside():
    class Permuted(nn.Sequential):
        def forward(self, x):
            return super().forward(x.permute(0, 1, 3, 4, 2))

    torch.manual_seed(0)
    model = Permuted(nn.Conv3d(1, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 3))
    volumes = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(LayerError, match=ELSEWHERE):
        grad_cam(model, volumes, target_layers=["0"])


def test_a_signal_that_is_read_backwards():
    class Reversed(nn.Sequential):
        def forward(self, x):
            return super().forward(x.flip(2))

    torch.manual_seed(0)
    model = Reversed(nn.Conv1d(2, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 3))
    signals = torch.randn(2, 2, 40, generator=torch.Generator().manual_seed(0))
    with pytest.raises(LayerError, match=ELSEWHERE):
        grad_cam(model, signals, target_layers=["0"])


class Mixing(Transformer):
    """Before its blocks, each position becomes a mean over all, times a factor of its own."""

    def __init__(self, factors):
        super().__init__()
        self.first, self.factors = nn.Linear(16, 16), factors

    def forward(self, x):
        tokens = self.patches(x).flatten(2)
        mixed = tokens.mean(dim=2, keepdim=True) + 0.01 * tokens
        return self.head(self.first((mixed * self.factors).mT).mean(dim=1))


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize("factors", [torch.ones(64), torch.arange(64.0) ** 4 / 64**4], ids=["alike", "few answer most"])
def test_where_everything_is_mixed_nothing_is_known(factors):
    assert grad_cam(Mixing(factors), pictures(), target_layers=["first"]).values.shape[2:] == (8, 8)


def test_few_tokens_may_hold_what_attention_has_found_elsewhere():
    class Copying(Transformer):
        def forward(self, x):
            # Into each of the two rows comes what is in the other one.
            tokens = self.patches(x)
            return self.head(self.blocks[0](tokens.flip(2).flatten(2).mT).mean(dim=1))

    assert grad_cam(Copying(), pictures(side=8), target_layers=["blocks.0"]).values.shape[2:] == (2, 2)


@pytest.fixture(scope="module")
def hiera():
    torch.manual_seed(0)
    model = timm.create_model("hiera_tiny_224", num_classes=3)
    nn.init.normal_(model.head.fc.weight)
    return model


@pytest.mark.parametrize("stage", range(3))
def test_hiera_regroups_its_patches_before_the_last_stage(hiera, stage):
    with pytest.raises(LayerError, match=ELSEWHERE):
        grad_cam(hiera, pictures(1, side=224), target_layers=[f"blocks.{hiera.stage_ends[stage]}"])


def test_the_last_stage_of_hiera_is_in_order(hiera):
    found = grad_cam(hiera, pictures(1, side=224), target_layers=[f"blocks.{hiera.stage_ends[3]}"])
    assert found.values.shape[2:] == (7, 7)


def test_a_masked_autoencoder_shuffles_its_tokens():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTMAEConfig(**sizes, image_size=32, patch_size=4, mask_ratio=0.0)
    torch.manual_seed(0)
    model = transformers.ViTMAEModel(config)
    with pytest.raises(LayerError, match=ELSEWHERE):
        grad_cam(model, pictures(), output_fn=lambda output: output.last_hidden_state[:, 0])


class Padded(nn.Module):
    """Slices are added at the end, as networks that halve their input often ask for."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 8, 2, 2)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        padded = nn.functional.pad(x, (0, 0, 0, 0, 0, -x.shape[2] % 32))
        return self.head(self.second(self.first(padded).relu()).relu().mean(dim=(2, 3, 4)))


class Sinks(nn.Module):
    """The flattest patches get a large norm, as those of trained vision transformers do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.last, self.head = nn.Conv2d(3, 16, 4, 4), nn.Identity(), nn.Linear(16, 3)

    def forward(self, x):
        tokens, variance = self.patches(x).flatten(2).mT, nn.functional.unfold(x, 4, stride=4).var(dim=1)
        is_sink = torch.zeros_like(variance).scatter_(1, (-variance).topk(4, 1).indices, 1.0)
        return self.head(self.last(tokens + 5 * is_sink[..., None]).mean(dim=1))


class Causal(nn.Module):
    """Dilated convolutions that see the past only."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.convs = nn.ModuleList(nn.Conv1d(2 if d == 1 else 16, 16, 5, dilation=d) for d in (1, 2, 4, 8, 16))
        self.last, self.head = nn.Identity(), nn.Linear(16, 3)

    def forward(self, x):
        for conv in self.convs:
            x = conv(nn.functional.pad(x, (4 * conv.dilation[0], 0))).relu()
        return self.head(self.last(x).mean(dim=2))


WORKING = {
    "padded": (Padded, (1, 20, 32, 32), ["second"]),
    "tokens of large norm": (Sinks, (3, 64, 64), ["last"]),
    **{f"causal {seed}": (lambda seed=seed: Causal(seed), (2, 200), ["last"]) for seed in range(8)},
}


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize("name", WORKING)
def test_no_false_alarm(name):
    make, shape, layers = WORKING[name]
    grad_cam(make(), torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)), target_layers=layers)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize("first", [0.0, 1.0, torch.nan, torch.inf])
def test_a_first_sample_that_tells_nothing_settles_nothing(first):
    inputs, model = pictures(), Transformer(ORDERS["columns"])
    inputs[0] = first
    with suppress(LayerError):
        grad_cam(model, inputs, target_layers=["blocks.1"])
    with pytest.raises(LayerError, match=ELSEWHERE):
        grad_cam(model, pictures(), target_layers=["blocks.1"])


def test_two_models_with_one_layer():
    class Seen(nn.Module):
        def __init__(self, conv, view):
            super().__init__()
            self.conv, self.head, self.view = conv, nn.Linear(16, 3), view

        def forward(self, x):
            return self.head(self.conv(self.view(x)).relu().mean(dim=(2, 3)))

    torch.manual_seed(0)
    conv = nn.Conv2d(3, 16, 3, padding=1)
    grad_cam(Seen(conv, lambda x: x), pictures(), target_layers=["conv"])
    with pytest.raises(LayerError, match=ELSEWHERE):
        grad_cam(Seen(conv, lambda x: x.flip(2)), pictures(), target_layers=["conv"])


@pytest.mark.parametrize("n_layers", [1, 2])
def test_all_layers_are_looked_at_once_in_five_forwards(n_layers):
    class Counting(Transformer):
        def forward(self, x):
            rows.append(len(x))
            return super().forward(x)

    rows, model = [], Counting()
    layers = ["patches", "blocks.0.linear1"][:n_layers]
    for side in (SIDE, SIDE, 16, 16):
        grad_cam(model, pictures(side=side), target_layers=layers)
    traces = rows.count(1) - 2 * 5
    assert traces == (0 if n_layers == 1 else 4)
    assert rows.count(2) == 4


def test_a_layer_that_sees_a_picture_and_its_mirror_image_is_left_to_its_calls():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 3)

        def forward(self, x):
            return self.head((self.conv(x).relu() + self.conv(x.flip(3)).relu().flip(3)).mean(dim=(2, 3)))

    assert grad_cam(Both(), pictures(), target_layers=["conv"]).values.shape[2:] == (32, 32)


def test_a_model_that_runs_on_whole_batches_only():
    class Whole(Transformer):
        def forward(self, x):
            assert len(x) == 2, "of a batch of two"
            return super().forward(x)

    model = Whole(ORDERS["columns"])
    assert grad_cam(model, pictures(), target_layers=["patches"]).values.shape[2:] == (8, 8)
