import numpy as np
import pytest
from PIL import Image, ImageDraw

from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.theme import INK, MUTED, PAPER, WRONG


def ink_of(words, **settings):
    canvas = Image.new("RGB", (300, 30), "white")
    width = text.draw(ImageDraw.Draw(canvas), (5, 3), words, size=14, color=(0, 0, 0), **settings)
    return np.asarray(canvas).min(axis=2) < 128, width


def test_text_draws_ink_where_it_says():
    ink, width = ink_of("pred 7 · 0.93")
    columns = np.flatnonzero(ink.any(axis=0))
    assert ink.sum() > 100
    assert columns[0] >= 5
    assert 5 + width - 4 <= columns[-1] <= 5 + width
    assert np.flatnonzero(ink.any(axis=1))[-1] < 3 + text.line_height(14)
    assert not ink_of("")[0].any()


def test_text_is_cut_to_its_width():
    ink, width = ink_of("a very long name of a class", max_width=80)
    assert width <= 80
    assert np.flatnonzero(ink.any(axis=0))[-1] < 85


@pytest.mark.parametrize("width", [0, 3, 20, 55, 56, 57, 1000])
def test_ellipsis(width):
    words = "golden retriever"
    shown = text.ellipsize(words, 13, width)
    assert text.text_width(shown, 13) <= width
    assert shown == words or not shown or shown.endswith("…")
    if shown.endswith("…"):
        rest = words[len(shown) - 1 :].lstrip()
        longer = words[: len(words) - len(rest) + 1] + "…"
        assert text.text_width(longer, 13) > width


def test_what_the_font_has_is_drawn_as_it_is():
    words = "Übergröße · naïve – Łódź · кошка · σ ≤ 0.5 → β"
    assert text.printable(words) == words
    assert text.printable("e\u0301") == "é"


def test_what_the_font_lacks_is_spelled_or_marked():
    assert text.printable("a\u200bb \uff43\uff41\uff54") == "ab cat"
    assert text.printable("猫🧿") == "??"
    assert text.printable("زرافة") == "?????", "it would run the wrong way"
    assert text.printable("two\nlines\tand  gaps ") == "two lines and gaps"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("cat", "cat"), ("кошка", "кошка"), ("猫", "class 3"), ("猫 (cat)", "猫 (cat)"), ("زرافة", "class 3"), ("+", "+")],
)
def test_a_name_that_cannot_be_drawn_is_replaced(name, shown):
    assert text.legible(name, "class 3") == shown


def test_the_confidence_is_not_cut_off():
    shown = text.ellipsize_head("pred a very long name of a class · 0.93", 13, 120)
    assert shown.startswith("pred a")
    assert shown.endswith("… · 0.93")
    assert text.text_width(shown, 13) <= 120
    assert text.ellipsize_head("short · 0.93", 13, 120) == "short · 0.93"
    assert text.text_width(text.ellipsize_head("a · much too long tail", 13, 60), 13) <= 60


def test_a_long_name_takes_two_lines():
    assert text.two_lines("input_x_gradient", 12, 96) == ["input_x_", "gradient"]
    assert text.two_lines("gradient", 12, 96) == ["gradient"]
    assert len(text.two_lines("onewithoutanybreakatallinit", 12, 96)) == 1
    for line in text.two_lines("smooth_integrated_gradients_of_something", 12, 96):
        assert text.text_width(line, 12) <= 96


def test_ascii_and_the_separators_are_drawn_as_they_are():
    characters = "".join(map(chr, range(33, 127))) + "·…"
    assert text.printable(characters) == characters


@pytest.mark.parametrize("color", [INK, MUTED, WRONG])
def test_every_text_color_has_contrast_on_the_paper(color):
    def luminance(rgb):
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return np.dot(parts, [0.2126, 0.7152, 0.0722])

    assert (luminance(PAPER) + 0.05) / (luminance(color) + 0.05) >= 4.5
