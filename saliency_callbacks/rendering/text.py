"""Crisp text on pictures, in DejaVu Sans, which comes with Matplotlib.

The font has Latin, Cyrillic, Greek and mathematical symbols. A letter that it lacks is drawn without its accents where
that helps, and anything else as a question mark instead of an empty box. Scripts that run from right to left, or whose
letters join, would be drawn in the wrong order and count as missing.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "draw",
    "ellipsize",
    "ellipsize_head",
    "fitting_size",
    "font_path",
    "legible",
    "line_height",
    "load_font",
    "printable",
    "text_width",
    "two_lines",
    "wrapped",
]

_ELLIPSIS = "…"
_UNASSIGNED = "\uffff"
_MISSING = "?"
_LEAST_OF_SIZE = 0.75


def draw(
    canvas: ImageDraw.ImageDraw,
    position: tuple[int, int],
    text: str,
    *,
    size: int,
    color: tuple[int, int, int],
    max_width: int | None = None,
) -> int:
    """Draw one line of text.

    Args:
        canvas: Where to draw.
        position: Left edge and top of the line, in pixels.
        text: Any text; see `printable`.
        size: Size of the font in pixels.
        color: RGB of the text.
        max_width: Widest the text may be, in pixels; longer text ends in an ellipsis.

    Returns:
        Width of the text in pixels.

    Example:
        >>> canvas = Image.new("RGB", (200, 20), "white")
        >>> draw(ImageDraw.Draw(canvas), (2, 2), "pred 7 · 0.93", size=12, color=(0, 0, 0)) < 100
        True
    """
    shown = printable(text) if max_width is None else ellipsize(text, size, max_width)
    canvas.text(position, shown, font=_font(size), fill=color)
    return text_width(shown, size)


def ellipsize(text: str, size: int, max_width: int) -> str:
    """Return ``text`` as `printable` shows it, cut so that it and an ellipsis fit into ``max_width`` pixels.

    Example:
        >>> ellipsize("a name that is too long", 12, 78)
        'a name th…'
    """
    shown = printable(text)
    if text_width(shown, size) <= max_width:
        return shown
    fits, too_long = 0, len(shown)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if text_width(shown[:middle].rstrip() + _ELLIPSIS, size) <= max_width:
            fits = middle
        else:
            too_long = middle
    cut = shown[:fits].rstrip() + _ELLIPSIS
    return cut if text_width(cut, size) <= max_width else ""


def ellipsize_head(text: str, size: int, max_width: int) -> str:
    """Return ``text`` cut like `ellipsize`, but keep what follows the last ``·``.

    Example:
        >>> ellipsize_head("pred a name that is too long · 0.93", 12, 116)
        'pred a na… · 0.93'
    """
    head, separator, tail = printable(text).rpartition(" · ")
    rest = text_width(separator + tail, size)
    if not separator or 2 * rest > max_width:
        return ellipsize(text, size, max_width)
    return ellipsize(head, size, max_width - rest) + separator + tail


def two_lines(text: str, size: int, max_width: int) -> list[str]:
    """Return a name in one line where it fits, else broken after an underscore or at a space into two.

    Example:
        >>> two_lines("epoch_12 best", 12, 76)
        ['epoch_12', 'best']
    """
    shown = printable(text)
    if text_width(shown, size) <= max_width:
        return [shown]
    breaks = [index + 1 for index, character in enumerate(shown[:-1]) if character in "_ "]
    fitting = [index for index in breaks if text_width(shown[:index], size) <= max_width]
    if not fitting:
        return [ellipsize(shown, size, max_width)]
    return [shown[: fitting[-1]].rstrip(), ellipsize(shown[fitting[-1] :], size, max_width)]


def wrapped(text: str, size: int, max_width: int, max_lines: int) -> list[str]:
    """Return ``text`` broken at spaces into lines of at most ``max_width`` pixels; the last is cut if it must be.

    Example:
        >>> wrapped("in 52% of class 4, in at most 1% of another", 12, 130, max_lines=2)
        ['in 52% of class 4, in', 'at most 1% of anot…']
    """
    lines: list[str] = []
    words = printable(text).split(" ")
    while words and len(lines) < max_lines - 1:
        count = 1
        while count < len(words) and text_width(" ".join(words[: count + 1]), size) <= max_width:
            count += 1
        lines.append(ellipsize(" ".join(words[:count]), size, max_width))
        words = words[count:]
    return [*lines, ellipsize(" ".join(words), size, max_width)] if words else lines


# The same words are measured again and again: to fit, to be broken and to be drawn.
@lru_cache(maxsize=4096)
def text_width(text: str, size: int) -> int:
    """Return the width in pixels of printable text.

    Example:
        >>> text_width("", 12), 0 < text_width("i", 12) < text_width("W", 12)
        (0, True)
    """
    return -int(-_font(size).getlength(text) // 1)


def fitting_size(text: str, size: int, max_width: int) -> int:
    """Return ``size``, or a little less where the text would be cut otherwise.

    Example:
        >>> fitting_size("ankle boot", 40, 400), fitting_size("ankle boot", 40, 190), fitting_size("ankle boot", 40, 20)
        (40, 36, 40)
    """
    shown = printable(text)
    sizes = range(size, round(_LEAST_OF_SIZE * size) - 1, -1)
    return next((one for one in sizes if text_width(shown, one) <= max_width), size)


def line_height(size: int) -> int:
    """Return the distance between two lines of text in pixels.

    Example:
        >>> line_height(12)
        15
    """
    ascent, descent = _font(size).getmetrics()
    return int(ascent + descent)


def printable(text: str) -> str:
    r"""Return ``text`` in characters that the font has, on one line.

    Example:
        >>> printable("größe\n世界")
        'größe ??'
    """
    return "".join(map(_spell, unicodedata.normalize("NFC", " ".join(text.split()))))


def legible(text: str, instead: str) -> str:
    """Return ``text``, or ``instead`` where at least half of its letters and digits cannot be drawn.

    Example:
        >>> legible("cat", "class 3"), legible("猫", "class 3")
        ('cat', 'class 3')
    """
    letters = [character for character in unicodedata.normalize("NFC", text) if character.isalnum()]
    missing = sum(_MISSING in _spell(letter) for letter in letters)
    return text if 2 * missing < max(1, len(letters)) else instead


@lru_cache(maxsize=1)
def font_path() -> str:
    """Return the path of DejaVu Sans.

    Example:
        >>> Path(font_path()).name
        'DejaVuSans.ttf'
    """
    # Not through Matplotlib's font manager, which reads every font of the machine first.
    return str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


@lru_cache(maxsize=64)
def load_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """Return the font of a file at a size in pixels.

    Example:
        >>> load_font(font_path(), 12).getname()
        ('DejaVu Sans', 'Book')
    """
    # Basic: whether Pillow finds a library for complex layout must not change a picture.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def _spell(character: str) -> str:
    if _has_glyph(character):
        return character
    parts = unicodedata.normalize("NFKD", character)
    base = "".join(part for part in parts if not unicodedata.combining(part))
    if base != character:
        return "".join(map(_spell, base))
    invisible = unicodedata.category(character) in ("Cc", "Cf", "Mn", "Me")
    return "" if invisible else _MISSING


def _has_glyph(character: str) -> bool:
    if unicodedata.category(character)[0] in "CM" or unicodedata.bidirectional(character) in ("R", "AL"):
        return False
    if character == " ":
        return True
    # Pillow does not tell which characters a font has, but it draws all that it lacks alike.
    return _ink(character) != _ink(_UNASSIGNED)


@lru_cache(maxsize=4096)
def _ink(character: str) -> bytes:
    mask = Image.new("L", (48, 48))
    ImageDraw.Draw(mask).text((8, 8), character, font=_font(20), fill=255)
    return mask.tobytes()


def _font(size: int) -> ImageFont.FreeTypeFont:
    return load_font(font_path(), size)
