"""Whether pictures can be read where TensorBoard shows them 300 pixels wide, before they are clicked at."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.rendering import Caption, filmstrip, panel
from saliency_callbacks.rendering.contact_sheet import sheet_note
from saliency_callbacks.rendering.evolution import evolution

THUMBNAIL = 300
LEAST_DIGIT = 7.0  # pixels
SHAPES = [(8, 8), (28, 28), (224, 224), (160, 224), (96, 288)]


def pictures(count, shape, level=120):
    return np.full((count, *shape, 3), level, np.uint8)


def captions(count, first="", detail=""):
    """Captions of which the last sample's first line is ``first``; the others reserve room for a usual name."""
    return [Caption("ankle boot", "✕ automobile · 64%")] * (count - 1) + [Caption(first, detail)]


def height_of_what_differs(one, other):
    """Height of the ink that one picture has and the other has not, where both are shown 300 pixels wide."""
    assert one.shape == other.shape
    rows = np.flatnonzero((np.abs(one.astype(int) - other) > 60).any(axis=(1, 2)))
    return (rows[-1] - rows[0] + 1) * THUMBNAIL / one.shape[1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [4, 8, 16])
def test_captions_of_a_panel(count, shape):
    def drawn(first, detail=""):
        tiles = pictures(count, shape)
        return panel(tiles, tiles, captions(count, first, detail), title="grad_cam · epoch 12", scale_note="a scale")

    assert height_of_what_differs(drawn("8"), drawn("")) >= LEAST_DIGIT
    assert height_of_what_differs(drawn("", "8"), drawn("")) >= LEAST_DIGIT
    assert drawn("").shape[0] <= 3.2 * drawn("").shape[1], "not so tall that nobody scrolls through it"


@pytest.mark.parametrize("shape", [(8, 8), (72, 72)])
@pytest.mark.parametrize("count", [4, 8, 16])
@pytest.mark.parametrize("columns", [1, 2, 4, 16])
def test_captions_of_a_filmstrip_and_of_all_methods(count, shape, columns):
    def drawn(first, name="7"):
        tiles = pictures(count, shape)
        names = [name, *map(str, range(1, columns))]
        return filmstrip(tiles, [(one, tiles) for one in names], captions(count, first), title="t")

    assert height_of_what_differs(drawn("8"), drawn("")) >= LEAST_DIGIT
    assert height_of_what_differs(drawn("", "7"), drawn("", " ")) >= LEAST_DIGIT


@pytest.mark.parametrize("count", [1, 4, 16])
def test_captions_of_an_animation(count):
    def drawn(first):
        tiles = pictures(count, (28, 28))
        names = [Caption(caption.title) for caption in captions(count, first)]
        return evolution(tiles, [("epoch 1", tiles)], [names], title="t")[0]

    assert height_of_what_differs(drawn("8"), drawn("")) >= LEAST_DIGIT


@pytest.mark.parametrize("count", [1, 4, 16])
def test_the_title(count):
    tiles = pictures(count, (28, 28))
    titles = (panel(tiles, tiles, captions(count), title=title) for title in ("8", ""))
    assert height_of_what_differs(*titles) >= LEAST_DIGIT


def test_a_thumbnail_tells_one_digit_from_another():
    tiles = pictures(16, (28, 28))
    shown = []
    for digit in "3689":
        picture = Image.fromarray(panel(tiles, tiles, captions(16, digit), title="grad_cam · epoch 12"))
        size = (THUMBNAIL, round(picture.height * THUMBNAIL / picture.width))
        shown.append(np.asarray(picture.resize(size, Image.Resampling.LANCZOS), float))
    for place, one in enumerate(shown):
        for other in shown[:place]:
            assert np.abs(one - other).max() > 100, "of 255 levels"


def test_names_that_are_a_little_too_long_are_written_smaller_and_not_cut():
    tiles = pictures(8, (28, 28))
    whole = panel(tiles, tiles, [Caption("seven", "✕ ankle boot · 64%")] * 8, title="t")
    cut = panel(tiles, tiles, [Caption("seven", "✕ ankle boot · 64% and more")] * 8, title="t")
    assert not np.array_equal(whole, cut)


@pytest.mark.parametrize("count", [2, 8, 16])
def test_numbers_of_slices_are_legible_or_only_in_the_title(count):
    """Slices of 200 have numbers of three digits, which small slices have no room for."""
    tiles = pictures(count, (480, 480))

    def drawn(*numbers):
        sheet = ContactSheet(tuple(number - 1 for number in numbers), 2, 200)
        title = f"grad_cam · epoch 12 · {sheet_note(sheet, None)}"
        return panel(tiles, tiles, captions(count), title="t", sheet=sheet), title

    (one, title), (other, _) = drawn(25, 75, 125, 175), drawn(88, 75, 125, 175)
    rows = np.flatnonzero((np.abs(one.astype(int) - other) > 60).any(axis=(1, 2)))
    first = np.split(rows, np.flatnonzero(np.diff(rows) > 20) + 1)[0]
    assert len(rows) == 0 or (first[-1] - first[0] + 1) * THUMBNAIL / one.shape[1] >= LEAST_DIGIT
    assert "slices 25, 75, 125, 175 of 200" in title
    assert len(rows) > 0 or count > 2
