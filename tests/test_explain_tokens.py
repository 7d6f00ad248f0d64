"""Explaining texts: what is known in closed form, and what must not matter."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from saliency_callbacks import explain, randomization_test
from saliency_callbacks.errors import DegenerateMapWarning, LayerError
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from saliency_callbacks.scores.tokens import per_token
from tests import texts

METHODS = (
    "gradient_norm",
    "input_x_gradient",
    IntegratedGradients(n_steps=6, baselines="pad_token"),
    SmoothGrad(nt_samples=4, reduction="l2"),
    IntegratedGradients(n_steps=3, baselines=["zeros", "noise"], nt_samples=2),
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def assert_same(found, expected, where=slice(None)):
    for name, one in expected.items():
        torch.testing.assert_close(found[name].values[where], one.values)
        torch.testing.assert_close(found[name].magnitude[where], one.magnitude)
        torch.testing.assert_close(found[name].heatmap[where], one.heatmap)
        torch.testing.assert_close(found[name].score[where], one.score)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_a_linear_model_of_a_bag_of_words():
    """The gradient at every token is the weight of the class."""
    model, tokens = texts.Bag().double(), texts.ids()
    weight = model.head.weight[2].detach()
    methods = ["gradient_norm", "input_x_gradient", IntegratedGradients(n_steps=2, baselines="pad_token")]
    found = explain(model, tokens, methods=methods, target=2, embedding="auto", tokenizer=texts.tokenizer())
    assert torch.equal(found["gradient_norm"].values, weight[None, :, None].expand(4, 4, 7))
    torch.testing.assert_close(found["gradient_norm"].magnitude, weight.norm().expand(4, 7))
    vectors = model.embedding(tokens).detach()
    torch.testing.assert_close(per_token(found["input_x_gradient"]).values[:, 0], vectors @ weight)
    replaced = tokens.masked_fill((tokens > 3) & (tokens < 29), 0).masked_fill(tokens == 3, 0)
    expected = (vectors - model.embedding(replaced).detach()) @ weight
    integrated = found["integrated_gradients"]
    torch.testing.assert_close(per_token(integrated).values[:, 0], expected)
    torch.testing.assert_close(integrated.magnitude, expected.abs())
    assert integrated.extras["convergence_delta"].abs().max() < 1e-12


def test_integrated_gradients_are_complete():
    model, given = texts.bert().double(), texts.batch(texts.ids())
    method = IntegratedGradients(n_steps=40, baselines="pad_token")
    found = explain(model, given, methods=method, target=1, embedding="auto")[method.name]
    model.eval()
    empty = given | {"input_ids": torch.zeros_like(given["input_ids"])}
    change = (model(**given).logits - model(**empty).logits)[:, 1].detach()
    torch.testing.assert_close(found.values.sum((1, 2)), change, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.extras["convergence_delta"], found.values.sum((1, 2)) - change)


@pytest.mark.parametrize("make", [texts.bert, texts.Recurrent, texts.Convolutional])
def test_batched_equals_one_by_one(make):
    model, tokens = make().double(), texts.ids()
    form = texts.batch if make is texts.bert else torch.clone
    options = {"target": 1, "embedding": "auto", "tokenizer": texts.tokenizer(), "internal_batch_size": 3}
    together = explain(model, form(tokens), methods=METHODS, **options)
    for sample in range(len(tokens)):
        alone = explain(model, form(tokens[sample : sample + 1]), methods=METHODS, **options)
        assert_same(together, alone, slice(sample, sample + 1))


@pytest.mark.parametrize("rows", [3, None])
@pytest.mark.parametrize("embedding", ["auto", "embedding"])
@pytest.mark.parametrize("sequence_first", [True, False])
@pytest.mark.parametrize(
    "tokens", [[[5, 6, 7], [6, 8, 9], [7, 9, 4]], [[5, 5, 5]] * 3, [[5, 5, 5]]], ids=["symmetric", "one word", "one"]
)
@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_batched_equals_one_by_one_where_ids_equal_their_transpose(tokens, sequence_first, embedding, rows):
    model, tokens = texts.Recurrent(sequence_first=sequence_first).double(), torch.tensor(tokens)
    methods = ("gradient_norm", "input_x_gradient", IntegratedGradients(n_steps=3, baselines="pad_token"))
    target = torch.arange(3)[: len(tokens)]
    together = explain(model, tokens, methods=methods, target=target, embedding=embedding, internal_batch_size=rows)
    for sample in range(len(tokens)):
        one = slice(sample, sample + 1)
        alone = explain(
            model, tokens[one], methods=methods, target=target[one], embedding=embedding, internal_batch_size=1
        )
        assert_same(together, alone, one)


def test_more_padding_changes_nothing():
    model, tokens = texts.bert().double(), texts.ids()
    longer = torch.nn.functional.pad(tokens, (0, 5))
    options = {"methods": METHODS, "target": 1, "embedding": "auto", "tokenizer": texts.tokenizer()}
    expected = explain(model, texts.batch(tokens), **options)
    found = explain(model, texts.batch(longer), **options)
    for name, one in expected.items():
        torch.testing.assert_close(found[name].values[..., :7], one.values)
        torch.testing.assert_close(found[name].heatmap[..., :7], one.heatmap)
        torch.testing.assert_close(found[name].values[..., 7:], torch.zeros(4, 16, 5, dtype=torch.float64))
        assert not found[name].heatmap[..., 7:].any()


def test_lengths_make_padding_harmless_in_a_recurrent_model():
    model, tokens = texts.Recurrent().double(), texts.ids()
    lengths = (tokens != 0).sum(1)
    options = {"methods": METHODS, "target": 1, "embedding": "auto", "internal_batch_size": 5}
    expected = explain(model, (tokens, lengths), **options)
    found = explain(model, (torch.nn.functional.pad(tokens, (0, 3)), lengths), **options)
    for name, one in expected.items():
        torch.testing.assert_close(found[name].values[..., :7], one.values)
    assert not expected["gradient_norm"].values[1, :, 5:].any()


def test_only_words_are_scaled():
    model, tokens = texts.Bag().double(), texts.ids()
    found = explain(model, tokens, methods="input_x_gradient", target=1, embedding="auto", tokenizer=texts.tokenizer())
    found = found["input_x_gradient"]
    words = (tokens > 2) & (tokens < 29)
    assert torch.equal(found.counted, words)
    assert not found.heatmap[~words].any()
    assert (found.heatmap.amax(1) == 1).all()
    assert found.magnitude[~words].any()


def test_all_single_pass_methods_share_a_forward_and_a_backward():
    model, tokens = texts.Recurrent(), texts.ids()
    calls = []
    handle = model.lstm.register_forward_hook(lambda *_: calls.append(1))
    methods = ["gradient_norm", "gradient", "input_x_gradient"]
    explain(model, tokens, methods=methods, target=1, embedding="embedding")
    assert len(calls) == 1
    explain(model, tokens, methods=methods, target=1, embedding="auto")
    handle.remove()
    # One text, to find the layer.
    assert len(calls) == 3


def test_nothing_is_left_behind():
    model = texts.bert().train()
    model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    state = torch.random.get_rng_state()
    explain(model, texts.batch(texts.ids()), methods=METHODS, embedding="auto", tokenizer=texts.tokenizer())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_embedding_under_no_grad_and_bfloat16():
    class Frozen(texts.Bag):
        def forward(self, tokens):
            with torch.no_grad():
                embedded = self.embedding(tokens)
            return self.head(embedded.sum(1))

    model = Frozen().bfloat16()
    found = explain(model, texts.ids(), methods="gradient_norm", target=2, embedding="auto")["gradient_norm"]
    torch.testing.assert_close(found.values[0, :, 0], model.head.weight[2].detach().float())
    assert found.values.dtype == torch.float32


def test_a_class_activation_map_of_a_convolution():
    model = texts.Convolutional().double()
    model.head.weight.data.abs_()
    found = explain(
        model, texts.ids(), methods=["grad_cam", "guided_backprop"], target=1, target_layers="convolutions.1",
        embedding="auto",
    )  # fmt: skip
    assert found["grad_cam"].values.shape == (4, 1, 7)
    assert found["grad_cam"].layer == "convolutions.1"
    assert found["guided_backprop"].heatmap.shape == (4, 7)


def test_a_model_that_takes_embeddings():
    model, tokens = texts.bert().double(), texts.ids()
    given = texts.batch(tokens)
    embedded = {
        "inputs_embeds": model.bert.embeddings.word_embeddings(tokens).detach(),
        "attention_mask": given["attention_mask"],
    }
    methods = ["gradient_norm", IntegratedGradients(n_steps=4)]
    found = explain(model, embedded, methods=methods, target=1, embedding="auto")
    assert_same(found, explain(model, given, methods=methods, target=1, embedding="auto"))


class _InPlace(texts.Bag):
    """Works in place on the embeddings that it made, or was given."""

    def forward(self, given):
        embedded = given if given.is_floating_point() else self.embedding(given)
        return self.head(embedded.mul_(2).sub_(0.5).mean(1))


def test_a_model_that_works_in_place_on_embeddings():
    """Each pass is fed what was meant, whatever the one before made of it; so is a user's own tensor."""
    model, tokens = _InPlace(), texts.ids()
    given = model.embedding(tokens).detach()
    kept = given.clone()
    settings = {"methods": (*METHODS[1:2], IntegratedGradients(n_steps=6)), "target": 2, "embedding": "auto"}
    of_ids, of_embeddings = explain(model, tokens, **settings), explain(model, given, **settings)
    weight = 2 * model.head.weight[2].detach() / tokens.shape[1]
    for found in (of_ids, of_embeddings):
        torch.testing.assert_close(found["input_x_gradient"].values, (kept * weight).mT)
        torch.testing.assert_close(found["integrated_gradients"].values, (kept * weight).mT)
    assert torch.equal(given, kept)


def test_a_constant_text_is_named():
    tokens = torch.tensor([[1, 5, 5, 2], [1, 5, 6, 2]])
    with pytest.warns(DegenerateMapWarning, match=r"1 of 2 maps are zero or constant \(samples 0\)"):
        explain(
            texts.Bag(), tokens, methods="input_x_gradient", target=1, embedding="auto", tokenizer=texts.tokenizer()
        )


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_the_randomization_test_embeds_with_the_random_weights():
    seen = []

    class Spied(texts.Bag):
        def forward(self, tokens):
            seen.append(self.embedding.weight[5, 0].item())
            return super().forward(tokens)

    model, tokens = Spied(8).double(), texts.ids(6, 16, padded=False)
    before = copy.deepcopy(model.state_dict())
    given = {"methods": ["input_x_gradient", "gradient_norm"], "embedding": "auto", "tokenizer": texts.tokenizer()}
    result = randomization_test(model, tokens, n_draws=4, **given)
    assert len(set(seen)) == 5
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    # Signed, one number a token: unrelated where the weights are.
    assert result.values["spearman"]["input_x_gradient"].mean().abs() < 0.3
    # The gradient of a bag of words is the same at every token, so that there is nothing to rank.
    assert result.values["spearman"]["gradient_norm"].isnan().all()


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_a_compiled_model():
    model, tokens = texts.Bag(), texts.ids()
    compiled = torch.compile(model, backend="eager")
    found = explain(compiled, tokens, methods="gradient_norm", target=1, embedding="auto")
    assert_same(found, explain(model, tokens, methods="gradient_norm", target=1, embedding="auto"))


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_a_decoder_that_shares_the_embedding_is_left_alone():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(texts.VOCABULARY, 4)
            self.head = nn.Linear(4, texts.CLASSES)

        def forward(self, tokens, others):
            return self.head(self.embedding(tokens).sum(1) * self.embedding(others).sum(1))

    model, tokens = Pair().double(), texts.ids()
    others = tokens.flip(1)[:, :5].contiguous() + 1
    found = explain(model, (tokens, others % 30), methods="gradient_norm", target=1, embedding="auto", attribute_to=0)
    expected = model.head.weight[1] * model.embedding(others % 30).sum(1)
    torch.testing.assert_close(found["gradient_norm"].values[..., 3], expected.detach())


class _Checkpointed(texts.Convolutional):
    """Runs all of it again in the backward, its embedding layer too, where gradients are recorded."""

    def forward(self, ids):
        if self.is_checkpointed and torch.is_grad_enabled():
            return checkpoint(super().forward, ids, use_reentrant=False)
        return super().forward(ids)


def test_an_embedding_layer_that_runs_again_in_the_backward():
    model, tokens = _Checkpointed(), texts.ids()
    found = []
    for model.is_checkpointed in (False, True):
        found.append(explain(model, tokens, methods=METHODS, target=1, embedding="auto", tokenizer=texts.tokenizer()))
    for name, expected in found[0].items():
        assert torch.equal(found[1][name].values, expected.values)
    assert not model.embedding._forward_hooks


class _TextPair(nn.Module):
    """One encoder for two text inputs."""

    def __init__(self, *, copies=False, is_checkpointed=False):
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 6), nn.Linear(12, 2)
        self.copies, self.is_checkpointed = copies, is_checkpointed

    def encode(self, ids):
        return self.embedding(ids.clone() if self.copies else ids.view(-1, ids.shape[-1])).tanh().mean(1)

    def forward(self, first, second):
        if self.is_checkpointed and torch.is_grad_enabled():
            encoded = [checkpoint(self.encode, ids, use_reentrant=False) for ids in (first, second)]
        else:
            encoded = [self.encode(first), self.encode(second)]
        return self.head(torch.cat(encoded, 1))


@pytest.mark.parametrize("rows", [None, 1, 2])
@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_two_equal_texts_in_a_pair(rows, is_checkpointed):
    torch.manual_seed(0)
    model = _TextPair(is_checkpointed=is_checkpointed)
    first, second = torch.randint(20, (2, 3, 5))
    second[:2] = first[:2]
    embedded = model.embedding(first).detach().requires_grad_()
    score = model.head(torch.cat([embedded.tanh().mean(1), model.encode(second)], 1))[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, embedded)
    found = explain(
        model,
        (first, second),
        methods=["gradient", "integrated_gradients"],
        target=1,
        attribute_to=0,
        embedding="embedding",
        internal_batch_size=rows,
    )
    assert torch.allclose(found["gradient"].values, gradient.mT, atol=1e-6)
    assert found["integrated_gradients"].extras["convergence_delta"].abs().max() < 1e-5


def test_equal_texts_that_cannot_be_told_apart():
    ids = torch.arange(10).view(2, 5)
    with pytest.raises(LayerError, match=r"samples \[0\] have other text inputs equal to the explained ones"):
        explain(
            _TextPair(copies=True),
            (ids, ids.clone()),
            methods="gradient",
            target=1,
            attribute_to=0,
            embedding="embedding",
            internal_batch_size=1,
        )
