"""Methods of attention inside an autocast, in several precisions, and of models that work in place."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.methods import LeGrad

METHODS = ["legrad", LeGrad(score="output", name="of_output"), "gradient_x_attention", "attention_rollout"]
NAMES = ["legrad", "of_output", "gradient_x_attention", "attention_rollout"]
WIDTH = 16


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.mlp = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU())

    def forward(self, tokens):
        n, t, _ = tokens.shape
        query, key, value = self.qkv(self.norm(tokens)).view(n, t, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, t, WIDTH)
        tokens = tokens + attended
        return tokens + self.mlp(tokens)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, WIDTH, 4, 4)
        self.positions = nn.Parameter(torch.randn(1, 16, WIDTH) * 0.1)
        self.gate = nn.Parameter(torch.rand(WIDTH) + 0.5)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, images):
        images, brightness = self.prepared(images)
        tokens = self.stem(images).flatten(2).transpose(1, 2) + self.positions
        for number, block in enumerate(self.blocks):
            tokens = block(self.between(tokens, block) if number else tokens.to(_dtype(block)))
        return self.head(self.norm(tokens.to(_dtype(self.norm))).mean(dim=1)) * brightness

    def prepared(self, images):
        halved = images * 0.5
        return halved, halved.abs().mean(dim=(1, 2, 3))[:, None]

    def between(self, tokens, block):
        return torch.tanh(tokens.to(_dtype(block)) * self.gate)


class InputInPlace(Transformer):
    """The same, of which the input is written, and read again behind the blocks."""

    def prepared(self, images):
        images.mul_(0.5)
        return images, images.abs().mean(dim=(1, 2, 3))[:, None]


class BlocksInPlace(Transformer):
    """The same, of which what a block returns is written."""

    def between(self, tokens, block):
        tokens *= self.gate
        return torch.tanh(tokens)


def _dtype(module):
    return next(module.parameters()).dtype


def made(kind=Transformer):
    torch.manual_seed(0)
    return kind().eval()


@pytest.fixture
def images():
    return torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_inside_an_autocast_what_is_made_of_attention_is_in_float32(images, dtype):
    plain = explain(made(), images, methods=METHODS, target=1)
    with torch.autocast("cpu", dtype):
        found = explain(made(), images, methods=METHODS, target=1)
        assert torch.is_autocast_enabled("cpu")
    for name in NAMES:
        assert found[name].values.dtype == torch.float32
        expected = plain[name].values
        torch.testing.assert_close(found[name].values, expected, rtol=0.1, atol=0.02 * float(expected.max()))


def test_a_model_may_write_its_input_and_read_it_behind_the_blocks(images):
    expected = explain(made(), images, methods=METHODS, target=1)
    found = explain(made(InputInPlace), images, methods=METHODS, target=1)
    for name in NAMES:
        torch.testing.assert_close(found[name].values, expected[name].values)


def test_a_model_may_write_what_a_block_returns(images):
    expected = explain(made(), images, methods=METHODS, target=1)
    found = explain(made(BlocksInPlace), images, methods=METHODS, target=1)
    for name in NAMES[1:]:
        torch.testing.assert_close(found[name].values, expected[name].values)
    # The tokens of a layer are what the next one reads, here those that were written.
    assert found["legrad"].values.abs().amax(dim=(1, 2, 3)).gt(0).all()


@pytest.mark.parametrize("parts", [["blocks.0"], ["blocks.2", "norm", "head"]], ids=["first", "last"])
def test_blocks_may_have_precisions_of_their_own(images, parts):
    expected = explain(made(), images, methods=METHODS, target=1)
    model = made()
    for part in parts:
        model.get_submodule(part).double()
    found = explain(model, images, methods=METHODS, target=1)
    for name in NAMES:
        torch.testing.assert_close(found[name].values.float(), expected[name].values, rtol=1e-4, atol=1e-6)
