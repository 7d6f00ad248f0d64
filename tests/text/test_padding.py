"""One rule of what is padding, and all who go by it."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.capture.text.settings import padding_of, read_ids
from saliency_callbacks.cues.token import TokenCue
from saliency_callbacks.errors import InputError, SaliencyWarning
from saliency_callbacks.text.padding import find_padding
from saliency_callbacks.text.token_texts import token_texts

_TOKENS = ["[PAD]", "a", "film"]


def of_the_rule(ids, mask=None):
    return find_padding(ids == 0, mask)


def of_the_model(ids, mask=None):
    return padding_of(read_ids(ids if mask is None else {"input_ids": ids, "attention_mask": mask}), 0)


def of_the_texts(ids, mask=None):
    return token_texts(_TOKENS, ids, mask).padding


def of_a_cue_with_tokenizer(ids, mask=None):
    return TokenCue("film", tokenizer=_TOKENS).padding(ids, mask)


def of_a_cue_with_padding_id(ids, mask=None):
    return TokenCue("film", token_ids=[2], pad_id=0).padding(ids, mask)


ALL = [of_the_rule, of_the_model, of_the_texts, of_a_cue_with_tokenizer, of_a_cue_with_padding_id]


@pytest.mark.parametrize("padding", ALL)
@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1, 0, 2, 0], [0, 0, 0, 1]),
        ([0, 1, 0, 2], [1, 0, 0, 0]),
        ([0, 0, 1, 2], [1, 1, 0, 0]),
        ([0, 1, 2, 0], [1, 0, 0, 1]),
        ([1, 2, 0, 0], [0, 0, 1, 1]),
        ([1, 2, 2, 1], [0, 0, 0, 0]),
    ],
    ids=str,
)
def test_the_padding_token_is_padding_at_the_ends(padding, ids, expected):
    assert padding(torch.tensor([ids])).tolist() == [[bool(flag) for flag in expected]]


@pytest.mark.parametrize("padding", ALL)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_an_attention_mask_alone_decides(padding, dtype):
    ids, mask = torch.tensor([[1, 0, 2, 0], [1, 0, 2, 0]]), torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0]])
    assert padding(ids, mask.to(dtype)).tolist() == (mask == 0).tolist()


def test_a_text_of_nothing_but_padding():
    ids = torch.tensor([[0, 0, 0], [1, 0, 0]])
    expected = [[True, True, True], [False, True, True]]
    assert of_the_rule(ids).tolist() == expected
    for padding in (of_the_texts, of_a_cue_with_tokenizer, of_a_cue_with_padding_id):
        with pytest.warns(SaliencyWarning, match="1 text input of nothing but padding"):
            assert padding(ids).tolist() == expected
    with pytest.raises(InputError, match=r"samples \[0\] consist only of padding"):
        of_the_model(ids)


def test_texts_of_one_batch_are_told_apart():
    ids = torch.tensor([[1, 0, 2, 0], [0, 0, 1, 2]])
    assert of_the_rule(ids).tolist() == [[False, False, False, True], [True, True, False, False]]
