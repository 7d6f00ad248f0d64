"""Words over epochs: one scale for all moments, and the words that matter at any of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import Caption
from saliency_callbacks.rendering.colormap import signed
from saliency_callbacks.rendering.theme import WRONG
from saliency_callbacks.rendering.tokens import token_filmstrip

TOKENS = [["[CLS]", "a", "great", "film"], ["[CLS]", "bad"]]
SPECIAL = torch.tensor([[True, False, False, False], [True, False, False, False]])
CAPTIONS = [Caption("#0"), Caption("#1")]
RED, BLUE = signed(np.array([[[1.0, -1.0]]]), np.ones(1))[0, 0]
EARLY = torch.tensor([[9.0, 0.0, 1.0, 0.0], [0.0, -2.0, 0.0, 0.0]])
LATE = torch.tensor([[9.0, 0.0, 4.0, -1.0], [0.0, -1.0, 0.0, 0.0]])


def draw(moments=("epoch 0", "epoch 1"), scores=(EARLY, LATE), captions=CAPTIONS, tokens=TOKENS, **settings):
    return token_filmstrip(tokens, moments, scores, captions, title="t", **{"special": SPECIAL, **settings})


def count(picture, color):
    return int((picture[44:] == np.array(color)).all(axis=-1).sum())


def test_the_scale_is_that_of_all_moments():
    picture = draw()
    # One full cell each: "great" late, and "bad" early.
    assert 500 < count(picture, RED) == count(picture, BLUE) < 2000
    assert count(draw(scores=(EARLY, EARLY)), RED) == 2 * count(picture, RED)
    assert count(draw(scale=100.0), RED) == 0


def test_special_tokens_are_left_out():
    loud = [scores * torch.tensor([100.0, 1, 1, 1]) for scores in (EARLY, LATE)]
    assert np.array_equal(draw(), draw(scores=loud))


def test_of_many_words_the_strongest_at_any_moment_are_shown():
    tokens = [[f"w{index}" for index in range(50)]]
    first = torch.zeros(1, 50)
    first[0, 7] = 5
    last = torch.full((1, 50), 0.1)
    shown = draw(("a", "b"), (first, last), CAPTIONS[:1], tokens, special=None, max_words=3)
    assert count(shown, RED) > 500
    assert shown.shape[0] < 200


def test_of_many_moments_the_first_and_the_last_are_shown():
    many = [EARLY * 0] * 30 + [LATE]
    wide = draw([f"epoch {index}" for index in range(31)], many, max_columns=4)
    assert wide.shape == draw([f"epoch {index}" for index in range(27, 31)], many[-4:]).shape
    assert count(wide, RED) > 500


def test_without_a_sign():
    assert count(draw(signed=False), BLUE) == 0


def test_wrong_predictions_are_red_and_further_texts_left_out():
    assert count(draw(), WRONG) == 0
    assert count(draw(captions=[Caption("#0", "pred b", wrong=True), Caption("#1")]), WRONG) > 0
    assert count(draw(max_texts=1), BLUE) == 0


def test_nothing_finite_and_no_words():
    assert draw(scores=(EARLY * torch.nan, LATE * torch.nan)).shape[2] == 3
    assert draw(("a",), (torch.zeros(1, 0),), CAPTIONS[:1], [[]], special=None).shape[2] == 3


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"moments": ["a"]}, InputError, "1 moments, 2 scores"),
        ({"moments": [], "scores": []}, InputError, "0 moments"),
        ({"scores": (EARLY, LATE[:, :2])}, InputError, "of one shape for all"),
        ({"captions": CAPTIONS[:1]}, InputError, "1 captions for 2 text inputs"),
        ({"max_texts": 0}, ConfigurationError, "max_texts=0"),
        ({"max_columns": 1}, ConfigurationError, "at least 2"),
    ],
)
def test_what_does_not_fit_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        draw(**changes)
