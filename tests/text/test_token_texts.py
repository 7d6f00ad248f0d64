"""Tokens and words of ids, against tokenizers of other packages."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from saliency_callbacks.errors import ConfigurationError, ProbeError, SaliencyWarning
from saliency_callbacks.probe import token_texts

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "was", "great", "##ly", "bad", "##ness", ".", "un"]
SENTENCES = ["The film was greatly bad.", "the zork"]
CORPUS = ["the café was great. the film, the badness of the café", "great films are great"] * 3


def wordpiece(**settings) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names, **settings)


def byte_level() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<|endoftext|>"],
        vocab_size=290,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def sentence_pieces() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(special_tokens=["<pad>", "</s>", "<unk>"], vocab_size=60, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", padding_side="left"
    )


class Slow:
    """A tokenizer that knows tokens only, as slow ones do."""

    def __init__(self, fast):
        self.all_special_ids, self.unk_token_id, self.pad_token_id = (
            fast.all_special_ids,
            fast.unk_token_id,
            fast.pad_token_id,
        )
        self.convert_ids_to_tokens, self.get_vocab = fast.convert_ids_to_tokens, fast.get_vocab


def encoded(tokenizer, *texts, **settings):
    encoding = tokenizer(*texts, padding=True, return_tensors="pt", **settings)
    return encoding, encoding["input_ids"], encoding["attention_mask"]


@pytest.mark.parametrize("make", [wordpiece, byte_level, sentence_pieces])
@pytest.mark.parametrize("with_mask", [True, False])
def test_words_are_those_of_the_tokenizer(make, with_mask):
    """Ids alone lead to the same words as the encoding of the texts, which the model does not see."""
    tokenizer = make()
    sentences = ["the café was great.", "the badness of films, the film"]
    encoding, ids, mask = encoded(tokenizer, sentences)
    texts = token_texts(tokenizer, ids, mask if with_mask else None)
    for row in range(2):
        of_encoding = encoding.word_ids(row)
        # The token of an unknown word has no word id there.
        expected = merged_starts(
            [word if word is not None else f"unk{i}" for i, word in enumerate(of_encoding)],
            (texts.special | texts.padding)[row].tolist(),
        )
        found = merged_starts(texts.word_ids[row], (texts.special | texts.padding)[row].tolist())
        assert found == expected
    assert torch.equal(texts.padding, mask == 0)


def merged_starts(word_ids, apart):
    before = object()
    starts = []
    for place, (word, away) in enumerate(zip(word_ids, apart, strict=True)):
        if not away and word != before:
            starts.append(place)
        before = object() if away else word
    return starts


@pytest.mark.parametrize("make", [byte_level, sentence_pieces])
def test_texts_of_words_are_those_that_were_written(make):
    sentence = "the café was great, the badness"
    _, ids, mask = encoded(make(), [sentence])
    texts = token_texts(make(), ids, mask)
    assert "".join(texts.words[0]) == sentence.replace(" ", "")
    assert "café" in texts.words[0]


def test_special_tokens_are_units_and_unknown_words_are_words():
    _, ids, mask = encoded(wordpiece(), SENTENCES)
    texts = token_texts(wordpiece(), ids, mask)
    assert texts.units() == [
        ["[CLS]", "the", "film", "was", "greatly", "bad", ".", "[SEP]"],
        ["[CLS]", "the", "[UNK]", "[SEP]"],
    ]
    assert texts.special_units().tolist() == [
        [True, *[False] * 6, True],
        [True, False, False, True, *[False] * 4],
    ]
    scores = torch.arange(float(ids.numel())).reshape(ids.shape)
    merged = texts.merge(scores)
    assert merged.shape == texts.special_units().shape
    assert merged[0].tolist() == [0, 1, 2, 3, 4 + 5, 6, 7, 8]
    assert merged[1].tolist() == [9, 10, 11, 12, 0, 0, 0, 0]


def test_words_of_a_pair_are_kept_apart():
    _, ids, mask = encoded(wordpiece(), ["bad"], ["bad film"])
    texts = token_texts(wordpiece(), ids, mask)
    assert texts.units() == [["[CLS]", "bad", "[SEP]", "bad", "film", "[SEP]"]]
    assert texts.word_ids == ((None, 0, None, 1, 2, None),)


@pytest.mark.parametrize(
    "of",
    [
        Slow,
        lambda fast: fast.backend_tokenizer,
        lambda fast: list(WORDS),
        lambda fast: fast.get_vocab(),
        lambda fast: dict(enumerate(WORDS)),
        lambda fast: fast.convert_ids_to_tokens,
        lambda fast: f"{__name__}.written_tokens",
    ],
    ids=["slow", "backend", "list", "by token", "by id", "function", "path"],
)
def test_every_kind_of_tokenizer_tells_the_same(of, monkeypatch):
    import sys
    import types

    module = types.ModuleType("a_module_of_the_user")
    module.written_tokens = lambda ids: [WORDS[index] for index in ids]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    tokenizer = of(wordpiece())
    if isinstance(tokenizer, str):
        tokenizer = "a_module_of_the_user.written_tokens"
    _, ids, mask = encoded(wordpiece(), SENTENCES)
    expected = token_texts(wordpiece(), ids, mask)
    for given in (mask, None):
        texts = token_texts(tokenizer, ids, given)
        assert texts.units() == expected.units()
        assert torch.equal(texts.special, expected.special)
        assert torch.equal(texts.padding, expected.padding)


def test_padding_on_the_left():
    tokenizer = sentence_pieces()
    _, ids, mask = encoded(tokenizer, ["the great film", "the"])
    assert mask[1, 0] == 0
    assert torch.equal(token_texts(tokenizer, ids).padding, mask == 0)


def test_a_full_text_may_have_been_cut():
    tokenizer = wordpiece(model_max_length=5)
    _, ids, mask = encoded(tokenizer, SENTENCES, truncation=True)
    assert token_texts(tokenizer, ids, mask).full.tolist() == [True, False]
    _, ids, mask = encoded(wordpiece(), SENTENCES)
    assert not token_texts(wordpiece(), ids, mask).full.any()


def test_the_users_tokenizer_keeps_its_settings():
    tokenizer = wordpiece()
    _, ids, mask = encoded(tokenizer, SENTENCES, truncation=True, max_length=6)
    before = tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding
    assert before[0] is not None
    token_texts(tokenizer, ids, mask)
    assert (tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding) == before


def test_texts_of_nothing_but_padding_are_named():
    ids = torch.tensor([[2, 5, 3], [0, 0, 0]])
    with pytest.warns(SaliencyWarning, match=r"1 text input of nothing but padding \(samples 1\)"):
        texts = token_texts(wordpiece(), ids)
    assert texts.units() == [["[CLS]", "film", "[SEP]"], []]
    assert texts.merge(torch.ones(2, 3)).tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("tokenizer", "ids", "mask", "message"),
    [
        (wordpiece(), [[2, 99]], None, "range from 2 to 99, but the tokenizer knows 0 to 12"),
        (WORDS, [[2, -100]], None, "range from -100 to 2"),
        ({"a": 0, "b": 5}, [[0, 3]], None, "no text for token id 3"),
        (lambda ids: ["x"], [[0, 3]], None, "1 tokens for 2 ids"),
        (WORDS, [[0.5]], None, "expected integers"),
        (WORDS, [0, 1], None, r"expected integers \[N, T\]"),
        (WORDS, [[0, 1]], [[1]], "attention_mask has shape"),
        (7, [[0]], None, "expected a tokenizer"),
        ({"a": "b"}, [[0]], None, "expected a dictionary"),
    ],
)
def test_what_cannot_be_read_is_named(tokenizer, ids, mask, message):
    with pytest.raises(ProbeError, match=message):
        token_texts(tokenizer, torch.tensor(ids), None if mask is None else torch.tensor(mask))


def test_a_path_that_leads_nowhere():
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        token_texts("no.such.tokenizer", torch.tensor([[0]]))


def test_a_function_tells_the_words():
    seen = []

    def words(tokens):
        seen.append(tokens)
        return [9, 7, 7, None, 7, 7][: len(tokens)]

    tokenizer = ["[PAD]", "[CLS]", "film", "##s", "was"]
    found = token_texts(tokenizer, torch.tensor([[0, 1, 2, 3, 4, 4, 2], [1, 4, 2, 0, 0, 0, 0]]), words=words)
    # Padding is not the function's business, and special tokens are no words.
    assert seen == [["[CLS]", "film", "##s", "was", "was", "film"], ["[CLS]", "was", "film"]]
    assert found.word_ids == ((None, None, 0, 0, None, 1, 1), (None, 0, 0, None, None, None, None))
    assert found.words == (("films", "wasfilm"), ("wasfilm",))
    assert found.units() == [["[CLS]", "films", "wasfilm"], ["[CLS]", "wasfilm"]]
    merged = found.merge(torch.arange(14.0).view(2, 7))
    assert merged.tolist() == [[1, 5, 11], [7, 17, 0]]


def test_a_special_token_stays_apart_whatever_the_function_says():
    found = token_texts(["a", "[SEP]", "b"], torch.tensor([[0, 1, 2]]), words=lambda tokens: [0, 0, 0])
    assert found.units() == [["a", "[SEP]", "b"]]


@pytest.mark.parametrize("wrong", [[0], [0, "1", 1], [0.0, 1.0, 2.0]])
def test_a_function_that_does_not_tell_the_words(wrong):
    with pytest.raises(
        ProbeError, match=r"words= returned \[.*expected a list of length 3: the index of each token's word"
    ):
        token_texts(["a", "b", "c"], torch.tensor([[0, 1, 2]]), words=lambda tokens: wrong)
