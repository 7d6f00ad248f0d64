"""The font of words: DejaVu Sans, which comes with Matplotlib, or one of the user's.

DejaVu Sans has Latin with all accents, Greek, Cyrillic, Arabic, Hebrew and most symbols, but not Chinese, Japanese,
Korean or the scripts of India. What a font lacks is shown as an empty box, never left out: a word is data.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.rendering.text import font_path, load_font
from saliency_callbacks.rendering.theme import Color

__all__ = ["WordFont", "visible"]

_ELLIPSIS = "…"
_MISSING = "□"
_SPACES = {"\n": "↵", "\r": "↵", "\t": "→", " ": "␣", "\u00a0": "␣"}


@dataclass(frozen=True)
class WordFont:
    """A font for words.

    Args:
        path: A TrueType or OpenType file; DejaVu Sans by default.

    Raises:
        ConfigurationError: If the file is no font.

    Example:
        >>> WordFont().legible("Größe 世界")
        'Größe␣□□'
    """

    path: str | None = None

    def __post_init__(self) -> None:
        self._characters()

    def legible(self, word: str) -> str:
        """Return a word with what the font lacks as boxes, and white space as signs."""
        known = self._characters()
        shown = (character if ord(character) in known else _MISSING for character in visible(word))
        return "".join(shown)

    def width(self, word: str, size: int) -> int:
        """Return the width of a legible word in pixels."""
        return -int(-self._font(size).getlength(word) // 1)

    def height(self, size: int) -> int:
        """Return the height of a line in pixels."""
        ascent, descent = self._font(size).getmetrics()
        return int(ascent + descent)

    def fit(self, word: str, size: int, width: int) -> str:
        """Return a word as `legible` shows it, cut with an ellipsis where it is wider than ``width`` pixels."""
        shown = self.legible(word)
        if self.width(shown, size) <= width:
            return shown
        while shown and self.width(shown + _ELLIPSIS, size) > width:
            shown = shown[:-1]
        return shown + _ELLIPSIS

    def draw(self, pen: ImageDraw.ImageDraw, position: tuple[int, int], word: str, *, size: int, color: Color) -> None:
        """Draw a legible word, its left edge and the top of its line at ``position``."""
        pen.text(position, word, font=self._font(size), fill=color)

    def _font(self, size: int) -> ImageFont.FreeTypeFont:
        return load_font(self.path or font_path(), size)

    def _characters(self) -> frozenset[int]:
        return _characters_of(self.path or font_path())


def visible(word: str) -> str:
    r"""Return a word in which white space and control characters can be seen; a sign for an empty one.

    Example:
        >>> visible("two\n"), visible("")
        ('two↵', '␣')
    """
    word = unicodedata.normalize("NFC", word)
    shown = (_SPACES.get(character, character) for character in word)
    return "".join(character for character in shown if unicodedata.category(character) not in ("Cc", "Cf")) or "␣"


@lru_cache(maxsize=4)
def _characters_of(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(
            f"font={path!r} cannot be read ({type(error).__name__}: {error}); expected the path of a TrueType or "
            "OpenType font, or None for DejaVu Sans"
        ) from error
