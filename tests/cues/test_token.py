"""A word in the texts of real tokenizers: decoded again, it stands where it should."""

from __future__ import annotations

import pickle

import pytest
import torch

from saliency_callbacks.errors import CueError
from saliency_callbacks.probe import TokenCue
from tests.text.test_token_texts import WORDS, byte_level, encoded, sentence_pieces, wordpiece

SENTENCES = ["the film was greatly bad", "the film"]


def decoded(tokenizer, ids):
    return [tokenizer.decode(row, skip_special_tokens=True).strip() for row in ids]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("start", ["un the film was greatly bad", "un the film"]),
        ("end", ["the film was greatly bad un", "the film un"]),
        (1, ["the un film was greatly bad", "the un film"]),
        (4, ["the film was greatly un bad", "the film un"]),
        (-1, ["the film was greatly un bad", "the un film"]),
        (-99, ["un the film was greatly bad", "un the film"]),
    ],
)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("with_mask", [True, False])
def test_the_word_is_read_where_it_was_put(position, expected, side, with_mask):
    tokenizer = wordpiece(padding_side=side)
    _, ids, mask = encoded(tokenizer, SENTENCES, pad_to_multiple_of=12)
    found = TokenCue("un", position, tokenizer=tokenizer).insert(ids, mask if with_mask else None)
    assert decoded(tokenizer, found.ids) == expected
    assert found.dropped.tolist() == [0, 0]
    for row in found.ids.tolist():
        text = [token for token in row if token]
        assert (text[0], text[-1]) == (2, 3)
        assert row == (text + [0] * (12 - len(text)) if side == "right" else [0] * (12 - len(text)) + text)


@pytest.mark.parametrize("make", [byte_level, sentence_pieces])
def test_other_tokenizers(make):
    tokenizer = make()
    _, ids, mask = encoded(tokenizer, ["the great film are", "the film"], pad_to_multiple_of=32)
    found = TokenCue("badness of", "end", tokenizer=tokenizer).insert(ids, mask)
    assert decoded(tokenizer, found.ids) == ["the great film are badness of", "the film badness of"]
    found = TokenCue("café", 1, tokenizer=tokenizer).insert(ids, mask)
    assert decoded(tokenizer, found.ids) == ["the café great film are", "the café film"]


def test_a_random_place_is_that_of_the_text():
    tokenizer = wordpiece()
    _, ids, _ = encoded(tokenizer, ["the film was greatly bad the film was bad"] * 2 + SENTENCES, pad_to_multiple_of=16)
    cue = TokenCue("un", "random", tokenizer=tokenizer)
    state = torch.random.get_rng_state()
    found = cue.insert(ids).ids
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(found[0], found[1])
    assert torch.equal(cue.insert(ids.flip(0)).ids.flip(0), found)
    places = {
        int((TokenCue("un", "random", tokenizer=tokenizer, seed=seed).insert(ids).ids[0] == 12).nonzero())
        for seed in range(60)
    }
    assert places == {1, 2, 3, 4, 6, 7, 8, 9, 10, 11}, "before every word but not inside 'greatly', and at the end"


def test_without_a_tokenizer():
    ids = torch.tensor([[2, 5, 6, 3, 0, 0], [2, 5, 3, 0, 0, 0]])
    cue = TokenCue("a", "end", token_ids=[9, 10], special_ids=(2, 3), pad_id=0)
    assert cue.insert(ids).ids.tolist() == [[2, 5, 6, 9, 10, 3], [2, 5, 9, 10, 3, 0]]
    assert cue.texts(ids).units()[0] == ["2", "5", "6", "3", "0", "0"]
    assert cue.padding(ids).tolist() == (ids == 0).tolist()
    mask = torch.tensor([[1] * 4 + [0] * 2, [1] * 3 + [0] * 3])
    by_mask = TokenCue("a", token_ids=[9], special_ids=(2,)).insert(ids, mask)
    assert by_mask.ids.tolist() == [[2, 9, 5, 6, 3, 0], [2, 9, 5, 3, 0, 0]]


@pytest.mark.parametrize(
    "tokenizer", [wordpiece(), wordpiece().backend_tokenizer, WORDS, {word: i for i, word in enumerate(WORDS)}]
)
def test_the_word_is_encoded_by_any_tokenizer_that_can(tokenizer):
    assert TokenCue("bad film", tokenizer=tokenizer).token_ids == (9, 5)


def test_equality_and_pickling():
    cue = TokenCue("bad", tokenizer=WORDS)
    assert cue == TokenCue("bad", tokenizer=list(WORDS))
    assert cue != TokenCue("bad", "end", tokenizer=WORDS)
    assert pickle.loads(pickle.dumps(cue)) == cue
    assert hash(cue) == hash(TokenCue("bad", tokenizer=WORDS))
    assert repr(cue) == "TokenCue('bad', 'start', token_ids=[9], name='bad')"
    assert TokenCue("bad .", tokenizer=WORDS).name == "word"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"word": ""}, "expected a word"),
        ({"word": "bad", "position": "middle"}, "'start', 'end', 'random'"),
        ({"word": "bad", "position": True}, "'start', 'end', 'random'"),
        ({"word": "zork"}, "does not know"),
        ({"word": "zork", "tokenizer": WORDS}, "does not know"),
        ({"word": "bad", "tokenizer": None}, "has neither a tokenizer nor token_ids"),
        ({"word": "bad", "tokenizer": str.split}, "only turns ids into tokens"),
        ({"word": "bad", "token_ids": []}, "a list of ids"),
        ({"word": "bad", "token_ids": [-1]}, "a list of ids"),
        ({"word": "bad", "name": "a b"}, "cannot be part of a tag"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, message):
    with pytest.raises(CueError, match=message):
        TokenCue(**{"tokenizer": wordpiece(), **arguments})
