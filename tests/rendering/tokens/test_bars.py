"""Bars of one text: lengths and colors that follow the scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.rendering.colormap import signed
from saliency_callbacks.rendering.tokens import token_bars

RED, BLUE = signed(np.array([[[1.0, -1.0]]]), np.ones(1))[0, 0]
GREY = np.array([0xB8, 0xBE, 0xC8])


def near(picture, color):
    return np.abs(picture.astype(int) - color.astype(int)).max(axis=-1) < 6


def test_bars_point_where_the_scores_do():
    picture = token_bars(["good", "bad", "so"], torch.tensor([2.0, -2.0, 0.0]), title="t")
    red, blue = (np.argwhere(near(picture, color)) for color in (RED, BLUE))
    assert red[:, 0].max() < blue[:, 0].min(), "reading order from the top"
    assert blue[:, 1].max() < red[:, 1].min(), "negative to the left"
    assert picture.dtype == np.uint8
    assert picture.flags.owndata


def test_special_tokens_are_grey():
    special = torch.tensor([True, False])
    picture = token_bars(["[CLS]", "good"], torch.tensor([9.0, 2.0]), special=special, title="t")
    assert near(picture, GREY).sum() > 1000
    assert near(picture, RED).sum() > 300


@pytest.mark.parametrize("count", [0, 1, 41, 3000])
def test_any_number_of_words(count):
    picture = token_bars([f"w{index}" for index in range(count)], torch.arange(float(count)), title="t")
    assert picture.shape[0] < 1300


def test_words_that_no_font_or_formula_takes():
    """Warnings are errors here: Matplotlib warns of glyphs that it lacks, and fails on half a formula."""
    token_bars(["世界", "$x^", "", "a\nb"], torch.ones(4), title="世界 $x_")


def test_no_bars_at_all():
    with pytest.raises(ConfigurationError, match="max_words=0"):
        token_bars(["a"], torch.ones(1), title="t", max_words=0)
