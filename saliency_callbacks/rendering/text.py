"""Crisp text on pictures, in the font that comes with Pillow.

The font knows Latin letters without accents and common punctuation. What it lacks is spelled with what it has
(é → e, – → -), or shown as a question mark, instead of an empty box.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from saliency_callbacks.errors import ConfigurationError

__all__ = ["draw", "ellipsize", "line_height", "printable", "text_width"]

_ELLIPSIS = "…"
_UNASSIGNED = "\uffff"
_SPELLINGS = {
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "×": "x", "÷": "/", "→": "->", "←": "<-",
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "ı": "i",
    "≤": "<=", "≥": ">=", "≈": "~", "±": "+/-", "α": "alpha", "β": "beta", "σ": "sigma", "µ": "u", "Δ": "delta",
    "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "•": "·",
}  # fmt: skip


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


def text_width(text: str, size: int) -> int:
    """Return the width in pixels of printable text."""
    return -int(-_font(size).getlength(text) // 1)


def line_height(size: int) -> int:
    """Return the distance between two lines of text in pixels."""
    ascent, descent = _font(size).getmetrics()
    return int(ascent + descent)


def printable(text: str) -> str:
    """Return ``text`` in characters that the font has, on one line."""
    return "".join(map(_spell, " ".join(text.split())))


@lru_cache(maxsize=4096)
def _spell(character: str) -> str:
    if _has_glyph(character):
        return character
    if character in _SPELLINGS:
        return _SPELLINGS[character]
    parts = unicodedata.normalize("NFKD", character)
    base = "".join(part for part in parts if not unicodedata.combining(part))
    if base != character:
        return "".join(map(_spell, base))
    invisible = unicodedata.category(character) in ("Cc", "Cf", "Mn", "Me")
    return "" if invisible else "?"


def _has_glyph(character: str) -> bool:
    if unicodedata.category(character)[0] in "CM":
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
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # pragma: no cover - a Pillow built without FreeType
        raise ConfigurationError("Pillow was built without FreeType, which draws the captions; install it from PyPI")
    return font
