"""A gallery of texts: what is drawn, and where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.gallery import GalleryPair, GalleryText, TextGallery, draw_text_gallery
from saliency_callbacks.rendering.theme import INK, WRONG

PLAIN = GalleryText(["a", "film"], [False, False], [False, False])
MARKED = GalleryText(["nb", "a", "film"], [True, False, False], [False, False, False])
TURNED = GalleryPair("3", ("3", "4"), (-1.0, 0.5))
KEPT = GalleryPair("3", ("3", "3"), (-1.0, -0.5))


def _gallery(**changes):
    given = {"bearing": [MARKED], "lacking": [PLAIN], "before": [PLAIN], "after": [MARKED], "pairs": [TURNED]}
    return TextGallery("Class 4: the word “nb”", "In 50% of class 4.", "4", **{**given, **changes})


def _has(picture, color):
    return bool((picture == np.array(color)).all(axis=2).any())


def _outlines(picture):
    """Tell whether there is a box with dark lines of at least 20 pixels, as no letter has."""
    dark = (picture == np.array(INK)).all(axis=2)
    return bool(np.lib.stride_tricks.sliding_window_view(dark, 20, axis=1).all(axis=-1).any())


def test_the_cue_is_outlined_and_nothing_else_is():
    assert _outlines(draw_text_gallery(_gallery()))
    assert not _outlines(draw_text_gallery(_gallery(bearing=[PLAIN], after=[PLAIN], pairs=[KEPT])))


def test_what_goes_to_the_class_is_written_in_red():
    assert _has(draw_text_gallery(_gallery()), WRONG)
    assert not _has(draw_text_gallery(_gallery(pairs=[KEPT])), WRONG)


def test_every_text_takes_a_line():
    one, two = draw_text_gallery(_gallery()), draw_text_gallery(_gallery(bearing=[MARKED, MARKED]))
    assert two.shape[0] > one.shape[0]
    assert two.shape[1] == one.shape[1]
    many = draw_text_gallery(_gallery(before=[PLAIN] * 4, after=[MARKED] * 4, pairs=[TURNED] * 4))
    assert many.shape[0] > two.shape[0]


def test_where_no_text_is_without_it_that_is_said():
    without, with_it = draw_text_gallery(_gallery(lacking=[])), draw_text_gallery(_gallery())
    assert not np.array_equal(without, with_it[: without.shape[0]])


def test_nothing_may_be_there_but_bearers():
    picture = draw_text_gallery(_gallery(lacking=[], before=[], after=[], pairs=[]))
    assert picture.dtype == np.uint8


def test_long_texts_are_cut():
    long = GalleryText(["word"] * 500, [False] * 500, [False] * 500)
    assert draw_text_gallery(_gallery(bearing=[long])).shape[0] < 600


def test_captions_and_texts_fit():
    with pytest.raises(InputError, match="got 1 texts before, 1 after and 2 captions"):
        replace(_gallery(), pairs=[TURNED, TURNED])
