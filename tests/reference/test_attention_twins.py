"""The methods of attention against their formulas in float64, with attention weights that are given to the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchcam.methods import LeGrad as TorchCamLeGrad
from torchvision.models import VisionTransformer

from saliency_callbacks import explain
from saliency_callbacks.methods import LeGrad

WIDTH, HEADS, DEPTH, CLASSES = 8, 2, 3, 4


class Block(nn.Module):
    """Attention whose weights can be given."""

    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))

    def forward(self, x, given=None):
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, dim=2))
        if given is None:
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = torch.stack([given[:, head] @ v[:, head] for head in range(HEADS)], dim=1)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(x)

    def weights(self, x):
        q, k, _ = self.qkv(self.norm(x)).chunk(3, dim=2)
        q, k = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (q, k))
        products = torch.einsum("nhtd,nhsd->nhts", q, k) / (WIDTH // HEADS) ** 0.5
        return products.exp() / products.exp().sum(dim=3, keepdim=True)


class Transformer(nn.Module):
    """A vision transformer that reads a class token, or the mean over the patches."""

    def __init__(self, pools):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)
        self.pools = pools

    def embed(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1)

    def read(self, tokens):
        tokens = self.norm(tokens)
        return self.head(tokens[:, 1:].mean(dim=1) if self.pools else tokens[:, 0])

    def forward(self, images):
        tokens = self.embed(images)
        for block in self.blocks:
            tokens = block(tokens)
        return self.read(tokens)


@pytest.fixture(params=[False, True], ids=["class token", "mean"])
def model(request):
    torch.manual_seed(0)
    model = Transformer(request.param).double()
    for block in model.blocks:
        # Attention that is not nearly the same everywhere.
        block.qkv.weight.data *= 4
    return model


@pytest.fixture
def images():
    return torch.randn(2, 3, 12, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


TARGET = torch.tensor([3, 1])
N_TOKENS = 7


def attentions(model, image):
    """Return tokens before each block, and each block's attention weights as leaves."""
    tokens, found = [model.embed(image[None])], []
    for block in model.blocks:
        found.append(block.weights(tokens[-1]).detach().requires_grad_(True))
        tokens.append(block(tokens[-1]))
    return tokens, found


def gradients_of(model, image, given, target):
    """Return the gradient with respect to each block's weights; those of the blocks above follow from them."""
    found = []
    for number, weights in enumerate(given):
        tokens = model.embed(image[None])
        for index, block in enumerate(model.blocks):
            tokens = block(tokens, weights if index == number else None)
        found.append(torch.autograd.grad(model.read(tokens)[0, target], weights)[0])
    return found


def row_of(matrix, pools):
    return matrix[1:].mean(dim=0) if pools else matrix[0]


def as_map(row):
    return row[1:].reshape(3, 2)


def test_rollout(model, images):
    found = explain(model, images, methods="attention_rollout", target=TARGET)["attention_rollout"].values
    for sample, image in enumerate(images):
        joint = torch.eye(N_TOKENS, dtype=torch.float64)
        for weights in attentions(model, image)[1]:
            joint = (0.5 * weights[0].detach().mean(dim=0) + 0.5 * torch.eye(N_TOKENS)) @ joint
        torch.testing.assert_close(found[sample, 0], as_map(row_of(joint, model.pools)))


def test_gradient_x_attention(model, images):
    found = explain(model, images, methods="gradient_x_attention", target=TARGET)["gradient_x_attention"].values
    for sample, image in enumerate(images):
        given = attentions(model, image)[1]
        gradients = gradients_of(model, image, given, TARGET[sample])
        relevance = torch.eye(N_TOKENS, dtype=torch.float64)
        for weights, gradient in zip(given, gradients, strict=True):
            positive = (weights.detach() * gradient)[0].clamp(min=0).mean(dim=0)
            relevance = relevance + positive @ relevance
        through_attention = row_of(relevance - torch.eye(N_TOKENS), model.pools)
        torch.testing.assert_close(found[sample, 0], as_map(through_attention))
        if not model.pools:
            torch.testing.assert_close(found[sample, 0], as_map(row_of(relevance, model.pools)))


def test_gradient_x_attention_is_not_the_share_of_what_is_pooled(images):
    """Attention that changes the score by little still tells tokens apart; the I that R starts from does not."""
    torch.manual_seed(0)
    model = Transformer(pools=True).double()
    for block in model.blocks:
        # Keys and queries that do not differ, so that attention is even, and gradients small.
        block.qkv.weight.data[: 2 * WIDTH] = 0
        block.out.weight.data *= 1e-3
    found = explain(model, images, methods="gradient_x_attention", target=TARGET)["gradient_x_attention"]
    lowest, highest = found.values.flatten(1).aminmax(dim=1)
    assert (lowest < 0.7 * highest).all(), "tokens differ, though attention changes the score by little"
    assert (found.heatmap.flatten(1).amin(dim=1) < 0.7).all()


@pytest.mark.parametrize("layers", [None, 1, 2])
def test_legrad_of_each_layers_own_score(model, images, layers):
    found = explain(model, images, methods=LeGrad(layers), target=TARGET)["legrad"].values
    for sample, image in enumerate(images):
        tokens, given = attentions(model, image)
        maps = []
        for before, block, weights in zip(tokens, model.blocks, given, strict=False):
            mean = block(before, weights).mean(dim=1)
            (gradient,) = torch.autograd.grad(model.head(model.norm(mean))[0, TARGET[sample]], weights)
            maps.append(gradient[0].clamp(min=0).mean(dim=(0, 1)))
        torch.testing.assert_close(found[sample, 0], as_map(torch.stack(maps[-(layers or DEPTH) :]).mean(dim=0)))


def test_legrad_of_the_output(model, images):
    found = explain(model, images, methods=LeGrad(score="output"), target=TARGET)["legrad"].values
    for sample, image in enumerate(images):
        given = attentions(model, image)[1]
        gradients = gradients_of(model, image, given, TARGET[sample])
        mean = torch.stack([gradient[0].clamp(min=0).mean(dim=(0, 1)) for gradient in gradients]).mean(dim=0)
        torch.testing.assert_close(found[sample, 0], as_map(mean))


class TwoPrefixTokens(nn.Module):
    """What TorchCAM needs told of: a rectangular grid, two tokens in front, and a head of its own."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.tokens = nn.Parameter(torch.randn(1, 2, 16))
        self.blocks = nn.ModuleList(MultiheadBlock() for _ in range(2))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, CLASSES)

    def forward(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.tokens.expand(len(images), -1, -1), patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.read(tokens[:, 2:].mean(dim=1))

    def read(self, pooled):
        return self.head(self.norm(pooled))


class MultiheadBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU())

    def forward(self, x):
        x = x + self.self_attention(x, x, x, need_weights=False)[0]
        return x + self.mlp(x)


def torchvision_transformer():
    model = VisionTransformer(16, 4, 3, 2, 16, 32, num_classes=CLASSES)
    nn.init.normal_(model.heads.head.weight)
    return model, list(model.encoder.layers), {}, torch.randn(2, 3, 16, 16)


def two_prefix_tokens():
    model = TwoPrefixTokens()
    told = {
        "score_projection": lambda tokens: model.read(tokens.mean(dim=1)),
        "prefix_tokens": 2,
        "grid_shape": (3, 2),
    }
    return model, list(model.blocks), told, torch.randn(2, 3, 12, 8)


@pytest.mark.parametrize("layers", [None, 1])
@pytest.mark.parametrize("make", [torchvision_transformer, two_prefix_tokens])
def test_legrad_is_that_of_torchcam(make, layers):
    torch.manual_seed(0)
    model, blocks, told, images = make()
    model.eval()
    with TorchCamLeGrad(model, blocks[-(layers or len(blocks)) :], **told) as extractor:
        (expected,) = extractor([3, 1], model(images), normalized=False)
    found = explain(model, images, methods=LeGrad(layers), target=TARGET)["legrad"].values[:, 0]
    assert expected.amax() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
