"""Crisp text on pictures, in DejaVu Sans, which comes with Matplotlib.

The font knows Latin, Cyrillic, Greek and the signs of mathematics. Of what it lacks, letters are drawn without their
accents where that helps, and anything else as a question mark instead of an empty box. Scripts that run from right to
left, or whose letters join, would come out in the wrong order and count as lacking.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw", "ellipsize", "ellipsize_head", "legible", "line_height", "printable", "text_width", "two_lines"]

_ELLIPSIS = "…"
_UNASSIGNED = "\uffff"
_MISSING = "?"


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
    """
    shown = printable(text) if max_width is None else ellipsize(text, size, max_width)
    canvas.text(position, shown, font=_font(size), fill=color)
    return text_width(shown, size)


def ellipsize(text: str, size: int, max_width: int) -> str:
    """Return ``text`` as `printable` shows it, cut so that it and an ellipsis fit into ``max_width`` pixels."""
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
    """As `ellipsize`, but keep what follows the last ``·``: of ``"pred a long name · 0.93"`` the name is cut."""
    head, separator, tail = printable(text).rpartition(" · ")
    rest = text_width(separator + tail, size)
    if not separator or 2 * rest > max_width:
        return ellipsize(text, size, max_width)
    return ellipsize(head, size, max_width - rest) + separator + tail


def two_lines(text: str, size: int, max_width: int) -> list[str]:
    """Return a name in one line where it fits, else broken after an underscore or at a space into two."""
    shown = printable(text)
    if text_width(shown, size) <= max_width:
        return [shown]
    breaks = [place + 1 for place, character in enumerate(shown[:-1]) if character in "_ "]
    fitting = [place for place in breaks if text_width(shown[:place], size) <= max_width]
    if not fitting:
        return [ellipsize(shown, size, max_width)]
    return [shown[: fitting[-1]].rstrip(), ellipsize(shown[fitting[-1] :], size, max_width)]


def text_width(text: str, size: int) -> int:
    """Return the width in pixels of printable text."""
    return -int(-_font(size).getlength(text) // 1)


def line_height(size: int) -> int:
    """Return the distance between two lines of text in pixels."""
    ascent, descent = _font(size).getmetrics()
    return int(ascent + descent)


def printable(text: str) -> str:
    """Return ``text`` in characters that the font has, on one line."""
    return "".join(map(_spell, unicodedata.normalize("NFC", " ".join(text.split()))))


def legible(text: str, instead: str) -> str:
    """Return ``text``, or ``instead`` where half of its letters and digits or more cannot be drawn."""
    letters = [character for character in unicodedata.normalize("NFC", text) if character.isalnum()]
    missing = sum(_MISSING in _spell(letter) for letter in letters)
    return text if 2 * missing < max(1, len(letters)) else instead


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


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Not through Matplotlib's font manager, which reads every font of the machine first.
    path = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    # Basic: whether Pillow finds a library for complex layout must not change a picture.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
