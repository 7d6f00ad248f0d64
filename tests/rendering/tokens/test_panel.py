"""Texts as a picture: every word on the colour of its score, in any script and at any length."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib import colors as mpl_colors

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import Caption, token_panel
from saliency_callbacks.rendering.colormap import signed
from saliency_callbacks.rendering.theme import WRONG
from saliency_callbacks.rendering.tokens.colors import WordScores, ink_on, paint
from saliency_callbacks.rendering.tokens.font import WordFont
from saliency_callbacks.rendering.tokens.layout import flow_words

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


def test_colours_follow_the_scores():
    words = WordScores.of(TOKENS, SCORES, special=SPECIAL)
    assert words.scale.tolist() == [2, 4]
    first, second = words.backgrounds(0), words.backgrounds(1)
    assert first[0] == first[1] == first[4] == (255, 255, 255)
    assert first[2] == tuple(RED)
    assert first[3][2] > first[3][0]
    assert second[1] == tuple(BLUE)


def test_a_given_scale_compares_texts():
    words = WordScores.of(TOKENS, SCORES, special=SPECIAL, scale=4.0)
    assert words.backgrounds(0)[2] != tuple(RED)
    assert words.backgrounds(1)[1] == tuple(BLUE)
    each = WordScores.of(TOKENS, SCORES, special=SPECIAL, scale=torch.tensor([2.0, 4.0]))
    assert each.backgrounds(0)[2] == tuple(RED)


def test_without_a_sign_only_positive_scores_are_coloured():
    words = WordScores.of(TOKENS, SCORES, special=SPECIAL, signed=False)
    colors = words.backgrounds(0)
    assert colors[3] == (255, 255, 255)
    assert colors[2][0] > colors[2][2]
    assert words.backgrounds(1)[1] == (255, 255, 255)


@pytest.mark.parametrize("is_signed", [True, False])
def test_words_can_be_read_on_every_colour(is_signed):
    """Contrast by the formula of WCAG 2.1, written again with Matplotlib's reading of colours."""
    for color in paint(np.linspace(-1, 1, 501), 1.0, signed=is_signed):
        assert contrast(color, ink_on(color)) >= 4.5


def contrast(first, second):
    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(color):
    levels = np.array(mpl_colors.to_rgb("#{:02x}{:02x}{:02x}".format(*color)))
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_picture_holds_the_colours():
    picture = draw()
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (960, 3)
    assert count(picture, RED) > 300
    assert count(picture, BLUE) > 300
    assert np.array_equal(picture, draw())
    assert count(draw(scores=SCORES * 0), RED) == 0


def test_special_tokens_are_never_coloured():
    loud = SCORES.clone()
    loud[:, 0] = 1000
    assert np.array_equal(draw(), draw(scores=loud))


def test_wrong_predictions_stand_out():
    captions = [Caption("#0", "pred bad", wrong=True), CAPTIONS[1]]
    assert count(draw(), WRONG) == 0
    assert count(draw(captions=captions), WRONG) > 150


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_coloured(value):
    scores = SCORES.clone()
    scores[0, 1] = value
    assert np.array_equal(draw(), draw(scores=scores))


def test_lines_stay_inside_and_keep_the_order():
    words = WordScores.of([[f"word{index}" for index in range(60)] + ["x" * 400]], torch.ones(1, 61))
    flow = flow_words(words, 0, width=300, max_lines=99, font=WordFont())
    assert all(box.left + box.width <= 300 for box in flow.boxes)
    assert [(box.line, box.left) for box in flow.boxes] == sorted((box.line, box.left) for box in flow.boxes)
    assert flow.boxes[-1].text.endswith("…")
    assert flow.remark == ""


@pytest.mark.parametrize("max_lines", [1, 2, 5])
def test_a_cut_tells_how_many_words_and_how_much_is_left_out(max_lines):
    scores = torch.arange(100.0)[None] * torch.tensor([1, -1]).repeat(50)
    words = WordScores.of([[f"word{index}" for index in range(100)]], scores)
    flow = flow_words(words, 0, width=400, max_lines=max_lines, font=WordFont())
    shown = len(flow.boxes)
    share = sum(range(shown, 100)) / sum(range(100))
    assert flow.lines == max_lines
    assert flow.remark == f"… {100 - shown} more words ({share:.0%} of the weight)"
    assert flow.remark_place[0] + WordFont().width(flow.remark, 12) <= 400


def test_a_font_without_a_character_shows_a_box():
    font = WordFont()
    assert font.legible("Größe Привет 世界") == "Größe␣Привет␣□□"
    assert font.legible("two\n") == "two↵"
    assert font.legible("") == "␣"
    assert font.legible("a\u200bb\x07") == "ab"


def test_of_many_texts_the_first_are_shown():
    many = draw([TOKENS[1]] * 40, SCORES[1:].expand(40, -1), CAPTIONS[1:] * 40, special=None)
    few = draw([TOKENS[1]] * 32, SCORES[1:].expand(32, -1), CAPTIONS[1:] * 32, special=None)
    assert many.shape == few.shape


def test_a_text_without_words():
    assert draw([[], ["a"]], torch.ones(2, 1), special=None).shape[2] == 3
    assert draw([[], []], torch.ones(2, 0), special=None).shape[2] == 3


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"scores": SCORES[:1]}, InputError, r"scores \[1, 5\] for 2 texts of up to 5 words"),
        ({"scores": SCORES[:, :4]}, InputError, "from merge_words"),
        ({"captions": CAPTIONS[:1]}, InputError, "1 captions for 2 texts"),
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
