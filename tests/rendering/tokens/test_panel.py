"""Text inputs as a picture: every word on the color of its score, in any script and at any length."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import Caption, token_panel
from saliency_callbacks.rendering.colormap import signed
from saliency_callbacks.rendering.theme import WRONG

TOKENS = [["[CLS]", "a", "great", "film", "[SEP]"], ["[CLS]", "bad", "[SEP]"]]
SCORES = torch.tensor([[9.0, 0.0, 2.0, -1.0, 0.0], [0.0, -4.0, 0.0, 7.0, 7.0]])
SPECIAL = torch.tensor([[True, False, False, False, True], [True, False, True, False, False]])
CAPTIONS = [Caption("#0 · positive", "pred positive · 0.93", wrong=False), Caption("#1 · negative")]
RED, BLUE = signed(np.array([[[1.0, -1.0]]]), np.ones(1))[0, 0]


def draw(tokens=TOKENS, scores=SCORES, captions=CAPTIONS, **settings):
    return token_panel(tokens, scores, captions, title="t", **{"special": SPECIAL, **settings})


def below_the_legend(picture):
    return picture[42:]


def count(picture, color):
    return int((below_the_legend(picture) == np.array(color)).all(axis=-1).sum())


def test_the_picture_holds_the_colors():
    picture = draw()
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (960, 3)
    assert count(picture, RED) > 300
    assert count(picture, BLUE) > 300
    assert np.array_equal(picture, draw())
    assert count(draw(scores=SCORES * 0), RED) == 0


def test_special_tokens_are_never_colored():
    loud = SCORES.clone()
    loud[:, 0] = 1000
    assert np.array_equal(draw(), draw(scores=loud))


def test_wrong_predictions_stand_out():
    captions = [Caption("#0", "pred bad", wrong=True), CAPTIONS[1]]
    assert count(draw(), WRONG) == 0
    assert count(draw(captions=captions), WRONG) > 150


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_colored(value):
    scores = SCORES.clone()
    scores[0, 1] = value
    assert np.array_equal(draw(), draw(scores=scores))


def test_of_many_text_inputs_the_first_are_shown():
    many = draw([TOKENS[1]] * 40, SCORES[1:].expand(40, -1), CAPTIONS[1:] * 40, special=None)
    few = draw([TOKENS[1]] * 32, SCORES[1:].expand(32, -1), CAPTIONS[1:] * 32, special=None)
    assert many.shape == few.shape


def test_a_text_input_without_words():
    assert draw([[], ["a"]], torch.ones(2, 1), special=None).shape[2] == 3
    assert draw([[], []], torch.ones(2, 0), special=None).shape[2] == 3


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"scores": SCORES[:1]}, InputError, r"scores \[1, 5\] for 2 text inputs of up to 5 words"),
        ({"scores": SCORES[:, :4]}, InputError, "from merge_words"),
        ({"captions": CAPTIONS[:1]}, InputError, "1 captions for 2 text inputs"),
        ({"special": SPECIAL[:, :2]}, InputError, "special is"),
        ({"scale": torch.ones(3)}, InputError, "3 scales"),
        ({"width": 100}, ConfigurationError, "expected at least"),
        ({"max_lines": 0}, ConfigurationError, "one line"),
        ({"font": "no/such.ttf"}, ConfigurationError, "cannot be read"),
    ],
)
def test_what_does_not_fit_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        draw(**changes)
