"""Attention that no map can be made of gets an error that says what was looked for and what was found."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
import transformers
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.errors import LayerError
from tests.capture.attention.models import images, texts, timm_vit

_TIMM = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}


class TwoStreams(nn.Module):
    """Two branches of attention side by side."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.branches = nn.ModuleList(nn.MultiheadAttention(16, 2, batch_first=True) for _ in range(2))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(sum(branch(tokens, tokens, tokens)[0] for branch in self.branches).mean(dim=1))


class Linear(nn.Module):
    """Attention without a softmax over tokens."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        queries, keys = F.elu(tokens) + 1, F.elu(tokens) + 1
        return self.head((queries @ (keys.mT @ tokens)).mean(dim=1))


class Router(nn.Module):
    """A softmax over experts, which are weighted by it."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.gate, self.experts, self.head = nn.Linear(16, 4), nn.Parameter(torch.randn(4, 16)), nn.Linear(16, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head((self.gate(tokens).softmax(dim=-1) @ self.experts).mean(dim=1))


class HalfSeen(nn.Module):
    """Two layers of attention, of which one writes its softmax by hand."""

    def __init__(self, is_seen=False):
        super().__init__()
        self.patches, self.head, self.is_seen = nn.Conv2d(3, 16, 4, stride=4), nn.Linear(16, 3), is_seen

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = tokens + torch.matmul(input=torch.softmax(input=tokens @ tokens.mT, dim=-1), other=tokens)
        weights = (tokens @ tokens.mT).exp()
        weights = tokens.matmul(tokens.mT).softmax(-1) if self.is_seen else weights / weights.sum(dim=-1, keepdim=True)
        return self.head((tokens + weights @ tokens).mean(dim=1))


class ByRows(nn.Module):
    """Weights [N · heads, T, S], laid out by samples or by heads."""

    def __init__(self, is_by_sample=True):
        super().__init__()
        self.patches, self.qkv = nn.Conv2d(3, 16, 4, stride=4), nn.Linear(16, 48)
        self.head, self.is_by_sample = nn.Linear(16, 3), is_by_sample

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        n, t, _ = tokens.shape
        order = (2, 0, 3, 1, 4) if self.is_by_sample else (2, 3, 0, 1, 4)
        q, k, v = self.qkv(tokens).reshape(n, t, 3, 2, 8).permute(order).flatten(1, 2)
        mixed = (q @ k.mT / 8**0.5).softmax(dim=-1) @ v
        sizes, back = ((n, 2), (0, 2, 1, 3)) if self.is_by_sample else ((2, n), (1, 2, 0, 3))
        mixed = mixed.unflatten(0, sizes).permute(back).flatten(2)
        return self.head((tokens + mixed).mean(dim=1))


class Axial(nn.Module):
    """Attention along the rows of the picture, whose heads and rows look like heads alone."""

    def __init__(self):
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 16, 4, stride=4), nn.Linear(16, 3)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        tokens = self.patches(x).permute(0, 2, 3, 1)
        rows = tokens.flatten(0, 1)
        return self.head(self.attention(rows, rows, rows)[0].unflatten(0, tokens.shape[:2]).mean(dim=(1, 2)))


class Nothing(ByRows):
    """Its score has a gradient, which is zero."""

    def forward(self, x):
        return 0 * super().forward(x)


def bart():
    config = {"vocab_size": 30, "d_model": 16, "num_labels": 3, "pad_token_id": 0, "eos_token_id": 2}
    sides = {
        f"{side}_{what}": 2 for side in ("encoder", "decoder") for what in ("layers", "attention_heads", "ffn_dim")
    }
    return transformers.BartForSequenceClassification(transformers.BartConfig(**config, **sides))


def swin():
    sizes = {"img_size": 16, "patch_size": 2, "embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4}
    return timm.models.swin_transformer.SwinTransformer(**sizes, num_classes=3)


CASES = {
    "none": (lambda: nn.Sequential(nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(588, 3)), "runs no attention that can"),
    "TorchScript": (lambda: torch.jit.trace(Linear().eval(), images()), "Found: TorchScript, which cannot be looked"),
    "linear": (Linear, "Found: none of these"),
    "a router": (Router, "runs no attention that can be seen"),
    "windows": (swin, r"has weights \[8, 2, 16, 16\] for 2 samples; expected .* Attention within windows"),
    "mixed heads": (lambda: timm.models.cait.Cait(**_TIMM), r"softmaxes over \[2, 2, 16, 16\] that are not multiplied"),
    "a layer": (HalfSeen, "HalfSeen has 1 attentions that can be seen, and 2 other products of two activations"),
    "heads first": (lambda: ByRows(is_by_sample=False), r"weights \[4, 16, 16\] for 2 samples, and nothing proves"),
    "no proof": (Nothing, r"weights \[4, 16, 16\] for 2 samples, and nothing proves"),
    "rows": (Axial, r"weights \[16, 4, 4\] for 2 samples; expected .* Attention within windows"),
    "branches": (TwoStreams, "attention 2 of TwoStreams, .* several streams of tokens"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_what_cannot_be_seen(name):
    make, message = CASES[name]
    torch.manual_seed(0)
    with pytest.raises(LayerError, match=message):
        explain(make().eval(), images(), methods="attention_rollout", target=1)


def test_attention_of_one_head_written_with_keywords():
    torch.manual_seed(0)
    found = explain(HalfSeen(is_seen=True), images(), methods="attention_rollout", target=1)["attention_rollout"].values
    torch.testing.assert_close(found.flatten(1).sum(dim=1), torch.ones(2))


def test_rows_by_samples_are_proved_by_gradients():
    torch.manual_seed(0)
    model, other = ByRows(), ByRows(is_by_sample=False)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(images()), other(images()))
    found = explain(model, images(), methods="gradient_x_attention", target=1)["gradient_x_attention"].values
    for sample in range(2):
        # Of one sample there is but one order.
        (alone,) = explain(other, images()[sample : sample + 1], methods="gradient_x_attention", target=1)[
            "gradient_x_attention"
        ].values
        torch.testing.assert_close(found[sample], alone)


def test_where_no_gradient_tells_what_is_read_all_queries_count():
    torch.manual_seed(0)
    found = explain(Nothing(), images()[:1], methods="attention_rollout", target=1)["attention_rollout"].values
    torch.testing.assert_close(found.flatten(1).sum(dim=1), torch.ones(1))


def test_an_encoder_with_a_decoder():
    inputs = texts()
    inputs["input_ids"][:, 1] = 2
    with pytest.raises(LayerError, match="queries that do not come from the tokens it attends to"):
        explain(bart().eval(), inputs, methods="gradient_x_attention", target=1, embedding="auto")


def test_layers_without_a_score_of_their_own():
    model = timm_vit(global_pool="map", class_token=False).eval()
    with pytest.raises(LayerError, match=r"LeGrad needs the score .* Use LeGrad\(score='output'\)"):
        explain(model, images(), methods="legrad", target=1)


class InOrder(nn.Module):
    """Attention over patches in some order."""

    def __init__(self, reorder):
        super().__init__()
        self.patches, self.block = nn.Conv2d(3, 16, 4, stride=4), nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16))
        self.head, self.reorder = nn.Linear(16, 3), reorder

    def forward(self, x):
        tokens = self.block(self.reorder(self.patches(x)).flatten(2).transpose(1, 2))
        return self.head((tokens + F.scaled_dot_product_attention(tokens, tokens, tokens)).mean(dim=1))


REORDERED = {
    "columns": lambda maps: maps.transpose(2, 3),
    "backwards": lambda maps: maps.flatten(2).flip(2),
    "mirrored": lambda maps: maps.flip(3),
    "shuffled": lambda maps: maps.flatten(2)[:, :, torch.randperm(maps.shape[2] * maps.shape[3])],
}


@pytest.mark.parametrize("name", REORDERED)
def test_tokens_in_another_order_than_row_by_row(name):
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 32, 32)
    with pytest.raises(LayerError, match=r"the 64 tokens of InOrder do not come from the places of a grid \[8, 8\]"):
        explain(InOrder(REORDERED[name]).eval(), inputs, methods="attention_rollout", target=1)
    kept = InOrder(lambda maps: maps).eval()
    assert explain(kept, inputs, methods="attention_rollout", target=1)["attention_rollout"].values.shape[2:] == (8, 8)


def test_another_order_can_be_told():
    torch.manual_seed(0)
    model, other = (InOrder(reorder).eval() for reorder in (REORDERED["columns"], lambda maps: maps))
    other.load_state_dict(model.state_dict())
    settings = {"methods": "gradient_x_attention", "target": 1}
    expected = explain(other, images(), **settings)["gradient_x_attention"].values
    found = explain(
        model,
        images(),
        reshape_transform=lambda tokens: tokens.transpose(1, 2).unflatten(2, (4, 4)).mT,
        **settings,
    )["gradient_x_attention"].values
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_a_masked_autoencoder_shuffles_its_tokens():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTMAEConfig(**sizes, image_size=32, patch_size=4, mask_ratio=0.0)
    torch.manual_seed(0)
    with pytest.raises(LayerError, match="the 65 tokens of ViTMAEModel do not come from the places"):
        explain(
            transformers.ViTMAEModel(config).eval(),
            torch.randn(2, 3, 32, 32),
            methods="attention_rollout",
            target=1,
            output_fn=lambda output: output.last_hidden_state[:, 0],
        )


class ReadsAllLayers(nn.Module):
    """Its head reads the mean over what all blocks put out."""

    def __init__(self):
        super().__init__()
        self.model = timm_vit()

    def forward(self, x):
        tokens, kept = self.model._pos_embed(self.model.patch_embed(x)), []
        for block in self.model.blocks:
            tokens = block(tokens)
            kept.append(tokens)
        return self.model.head(torch.stack(kept).mean(dim=0)[:, 0])


def test_a_head_that_reads_several_layers():
    torch.manual_seed(0)
    model = ReadsAllLayers().eval()
    nn.init.normal_(model.model.head.weight)
    with pytest.raises(LayerError, match="the score depends on more than what the last block puts out"):
        explain(model, images(), methods="legrad", target=1)
    assert not any("forward" in vars(module) for module in model.modules())
