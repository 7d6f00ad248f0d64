"""Texts that are longer than a model takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.text.max_length import known_lengths
from saliency_callbacks.errors import InputError
from tests import texts


class Positions(nn.Module):
    """A table of eight positions, and one of two segments."""

    def __init__(self, *, segment=0):
        super().__init__()
        self.embedding, self.position = nn.Embedding(texts.VOCABULARY, 4), nn.Embedding(8, 4)
        self.segments, self.head = nn.Embedding(2, 4), nn.Linear(4, texts.CLASSES)
        self.segment = segment

    def forward(self, tokens):
        place = torch.arange(tokens.shape[1]).expand_as(tokens)
        segment = torch.full_like(tokens, self.segment)
        return self.head((self.embedding(tokens) + self.position(place) + self.segments(segment)).tanh().sum(1))


@pytest.mark.parametrize("embedding", ["auto", "embedding"])
def test_a_table_of_positions(embedding):
    options = {"methods": "gradient_norm", "target": 1, "embedding": embedding}
    explain(Positions(), texts.ids(4, 8), **options)
    with pytest.raises(
        InputError, match=r"the text inputs have 9 tokens, but .* has positions for 8; .*max_length=8\)"
    ):
        explain(Positions(), texts.ids(4, 9), **options)


@pytest.mark.parametrize("embedding", ["auto", "bert.embeddings.word_embeddings"])
def test_a_model_of_hugging_face(embedding):
    with pytest.raises(InputError, match=r"have 40 tokens, but .* max_position_embeddings = 24; .*Truncate"):
        explain(texts.bert(), texts.batch(texts.ids(2, 40)), methods="gradient_norm", target=1, embedding=embedding)


def test_a_model_of_hugging_face_that_is_given_embeddings():
    with pytest.raises(InputError, match=r"have 40 tokens, but .* 24; .*Truncate"):
        explain(
            texts.bert(), {"inputs_embeds": torch.rand(2, 40, 16)}, methods="gradient_norm", target=1, embedding="auto"
        )


def test_a_text_beyond_the_first():
    """One text finds the layer; another one is too long, where positions do not count padding."""

    class Counted(Positions):
        def forward(self, tokens):
            return self.head((self.embedding(tokens) + self.position((tokens != 0).cumsum(1))).tanh().sum(1))

    tokens = texts.ids(2, 9).flip(0)
    with pytest.raises(InputError, match=r"the text inputs have 9 tokens, but .* has positions for 8"):
        explain(Counted(), tokens, methods="gradient_norm", target=1, embedding="auto")


@pytest.mark.parametrize("embedding", ["auto", "embedding"])
def test_wrong_segments_are_no_matter_of_length(embedding):
    with pytest.raises(IndexError):
        explain(Positions(segment=5), texts.ids(4, 8), methods="gradient_norm", target=1, embedding=embedding)


def test_a_longer_text_that_a_model_takes_is_explained():
    class Rotary(texts.Bag):
        class config:  # noqa: N801 (as Hugging Face names it)
            max_position_embeddings = 4

        def forward(self, tokens):
            return super().forward(tokens).tanh()

    found = explain(Rotary(), texts.ids(), methods="input_x_gradient", target=1, embedding="auto")
    assert found["input_x_gradient"].magnitude.shape == (4, 7)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), InputError("said already"), KeyError("other")])
def test_what_has_another_reason(error):
    with pytest.raises(type(error)) as raised, known_lengths(texts.bert(), texts.ids(2, 40)):
        raise error
    assert raised.value is error
