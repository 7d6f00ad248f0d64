"""Where the ids of a batch are, and which of them are padding or special."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from saliency_callbacks import explain
from saliency_callbacks.capture.text.settings import TokenSettings, padding_of, read_ids, special_of
from saliency_callbacks.errors import ConfigurationError, InputError, MethodError
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from tests import texts


@pytest.mark.parametrize(
    ("form", "key"),
    [
        (lambda ids: ids, None),
        (lambda ids: (ids, torch.tensor([7, 5, 7, 7])), 0),
        (lambda ids: [torch.rand(4, 2), ids], 1),
        (lambda ids: {"lengths": torch.ones(4), "text": ids}, "text"),
        (texts.batch, "input_ids"),
        (lambda ids: {"inputs_embeds": torch.rand(4, 7, 3), "attention_mask": ids}, "inputs_embeds"),
    ],
)
def test_where_the_ids_are(form, key):
    found = read_ids(form(texts.ids()))
    assert found.attribute_to == key
    assert found.n_samples == 4


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ((texts.ids(), texts.ids()), {}, "2 of the inputs .* `attribute_to=`"),
        ({"x": torch.rand(3, 4)}, {}, "0 of the inputs"),
        ({"x": texts.ids(), "y": texts.ids()}, {"attribute_to": "z"}, "'z' is not among the inputs"),
        (torch.rand(2, 3, 8, 8), {}, r"float32 \[2, 3, 8, 8\]; expected token ids.* without `embedding=`"),
        (texts.ids()[0], {}, r"int64 \[7\]; expected token ids"),
        (texts.ids()[:, :0], {}, r"int64 \[4, 0\]"),
        ("a text", {}, "of type str; expected a tensor of token ids"),
        ({"x": "a text"}, {"attribute_to": "x"}, "of type str; expected token ids"),
    ],
)
def test_what_are_no_ids(given, options, message):
    with pytest.raises(InputError, match=message):
        read_ids(given, **options)


def test_images_are_told_of_embedding():
    with pytest.raises(InputError, match="`embedding='auto'`"):
        explain(texts.Bag(), texts.ids(), methods="gradient")


def test_padding_is_what_the_mask_says_else_the_padding_token():
    tokens = texts.ids()
    assert torch.equal(padding_of(read_ids(tokens), 0), tokens == 0)
    assert not padding_of(read_ids(tokens), None).any()
    masked = texts.batch(tokens)
    masked["attention_mask"][0, 0] = 0
    assert torch.equal(padding_of(read_ids(masked), 0), masked["attention_mask"] == 0)


def test_the_id_of_padding_is_the_tokenizers_the_models_or_the_layers():
    layer = torch.nn.Embedding(30, 2, padding_idx=4)
    plain = torch.nn.Module()
    assert TokenSettings.of("auto", texts.tokenizer(pad_token_id=7)).known_pad_id(texts.bert(), layer) == 7
    assert TokenSettings().known_pad_id(texts.bert(), layer) == 0
    assert TokenSettings().known_pad_id(plain, layer) == 4
    assert TokenSettings().known_pad_id(plain, torch.nn.Embedding(30, 2)) is None


def test_unknown_words_are_words():
    tokens = texts.ids()
    tokens[0, 2] = 3
    settings = TokenSettings.of(tokenizer=texts.tokenizer())
    batch = read_ids(tokens)
    special = special_of(batch, padding_of(batch, 0), settings.special_ids)
    assert torch.equal(special, (tokens == 1) | (tokens == 2) | (tokens == 29))


_WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", *(f"word{index}" for index in range(5, 30))]


def _backend():
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({word: index for index, word in enumerate(_WORDS)}, unk_token="[UNK]"))


def _by_function(ids):
    return [_WORDS[index] for index in ids]


class _WithoutNames:
    """Turns ids into tokens, and tells nothing of its vocabulary."""

    convert_ids_to_tokens = staticmethod(_by_function)


@pytest.mark.parametrize(
    "tokenizer",
    [
        _WORDS,
        {word: index for index, word in enumerate(_WORDS)},
        dict(enumerate(_WORDS)),
        _by_function,
        "tests.capture.text.test_settings._WORDS",
        _backend(),
        _WithoutNames(),
        texts.tokenizer(mask_token_id=4, all_special_ids=[0, 1, 2, 3, 4]),
    ],
    ids=["list", "token to id", "id to token", "function", "dotted path", "tokenizers", "no names", "facts"],
)
def test_any_tokenizer_tells_what_is_no_word(tokenizer):
    tokens = texts.ids()
    # An unknown word is a word; a mask is none.
    tokens[0, 2], tokens[0, 3] = 3, 4
    settings = TokenSettings.of("auto", tokenizer).seeing(tokens)
    assert (settings.pad_id, settings.mask_id) == (0, 4)
    assert settings.special_ids == (0, 1, 2, 4)
    smooth = SmoothGrad(nt_samples=2, reduction="l2")
    whole = IntegratedGradients(n_steps=2, baselines="pad_token")
    model = texts.Convolutional()
    model.embedding.padding_idx = None
    found = explain(model, tokens, methods=[smooth, whole], target=0, embedding="auto", tokenizer=tokenizer)
    assert torch.equal(found[smooth.name].counted, (tokens > 2) & (tokens != 4))
    assert not found[whole.name].values.movedim(1, 2)[tokens == 0].any()


@pytest.mark.parametrize("wrong", [7, [], [1, 2], {"a": "b"}])
def test_what_is_no_tokenizer(wrong):
    with pytest.raises(ConfigurationError, match=r"tokenizer is .*; expected a"):
        TokenSettings.of("auto", wrong)


def test_noise_is_never_added_to_padding():
    class Sees(texts.Bag):
        def forward(self, tokens):
            embedded = self.embedding(tokens)
            seen.append(embedded[tokens == 0].detach())
            return self.head(embedded.tanh().sum(1))

    seen, model = [], Sees()
    explain(model, texts.ids(), methods=SmoothGrad(nt_samples=2), target=0, embedding="embedding", tokenizer=_WORDS)
    assert all(torch.equal(one, model.embedding.weight[0].detach().expand_as(one)) for one in seen)


def test_a_text_of_nothing_but_padding():
    tokens = texts.ids()
    tokens[2] = 0
    with pytest.raises(InputError, match=r"samples \[2\] consist only of padding"):
        explain(texts.bert(), texts.batch(tokens), methods="gradient_norm", embedding="auto")


def test_another_tokenizers_ids():
    class Small(SimpleNamespace):
        def get_vocab(self):
            return {"[PAD]": 0, "last": 19}

    tokens = texts.ids()
    tokens[0, 3] = 25
    with pytest.raises(InputError, match=r"the id 2[0-9], but the tokenizer has 20 \(0 to 19\)"):
        explain(texts.Bag(), tokens, methods="gradient_norm", embedding="auto", tokenizer=Small(pad_token_id=0))


@pytest.mark.parametrize("baseline", ["pad_token", "mask_token"])
def test_a_baseline_of_a_token_that_is_not_known(baseline):
    method = IntegratedGradients(n_steps=2, baselines=baseline)
    with pytest.raises(MethodError, match=rf"baseline '{baseline}': there is no such token.* \(`{baseline}_id`, or"):
        explain(texts.Bag(), texts.ids(), methods=method, embedding="auto")
    with pytest.raises(MethodError, match=f"baseline '{baseline}' is for text inputs only"):
        explain(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), torch.rand(1, 1, 2, 2), methods=method)
    embedded = {"inputs_embeds": torch.rand(2, 3, 16)}
    with pytest.raises(MethodError, match=f"baseline '{baseline}' needs ids"):
        explain(texts.bert(), embedded, methods=method, embedding="auto", target=0)
