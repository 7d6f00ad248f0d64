"""Scores of words as colors that can be written on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib import colors as mpl_colors

from saliency_callbacks.rendering.colormap import signed
from saliency_callbacks.rendering.tokens.colors import WordScores, ink_on, paint

TOKENS = [["[CLS]", "a", "great", "film", "[SEP]"], ["[CLS]", "bad", "[SEP]"]]
SCORES = torch.tensor([[9.0, 0.0, 2.0, -1.0, 0.0], [0.0, -4.0, 0.0, 7.0, 7.0]])
SPECIAL = torch.tensor([[True, False, False, False, True], [True, False, True, False, False]])
RED, BLUE = signed(np.array([[[1.0, -1.0]]]), np.ones(1))[0, 0]


def test_colors_follow_the_scores():
    words = WordScores.of(TOKENS, SCORES, special=SPECIAL)
    assert words.scale.tolist() == [2, 4]
    first, second = words.backgrounds(0), words.backgrounds(1)
    assert first[0] == first[1] == first[4] == (255, 255, 255)
    assert first[2] == tuple(RED)
    assert first[3][2] > first[3][0]
    assert second[1] == tuple(BLUE)


def test_a_given_scale_compares_text_inputs():
    words = WordScores.of(TOKENS, SCORES, special=SPECIAL, scale=4.0)
    assert words.backgrounds(0)[2] != tuple(RED)
    assert words.backgrounds(1)[1] == tuple(BLUE)
    each = WordScores.of(TOKENS, SCORES, special=SPECIAL, scale=torch.tensor([2.0, 4.0]))
    assert each.backgrounds(0)[2] == tuple(RED)


def test_without_a_sign_only_positive_scores_are_colored():
    words = WordScores.of(TOKENS, SCORES, special=SPECIAL, signed=False)
    colors = words.backgrounds(0)
    assert colors[3] == (255, 255, 255)
    assert colors[2][0] > colors[2][2]
    assert words.backgrounds(1)[1] == (255, 255, 255)


@pytest.mark.parametrize("is_signed", [True, False])
def test_words_can_be_read_on_every_color(is_signed):
    """Contrast by the formula of WCAG 2.1, written again with Matplotlib's reading of colors."""
    for color in paint(np.linspace(-1, 1, 501), 1.0, signed=is_signed):
        assert contrast(color, ink_on(color)) >= 4.5


def contrast(first, second):
    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(color):
    levels = np.array(mpl_colors.to_rgb("#{:02x}{:02x}{:02x}".format(*color)))
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
