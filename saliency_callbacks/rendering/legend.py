"""The title line above every picture, with the color bar that says how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.errors import ConfigurationError, nearest_names
from saliency_callbacks.rendering import colormap as colors
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, FIXED_SIZES, INK, MUTED, TextSizes

__all__ = ["STYLES", "Heading", "Style", "check_style", "color_bar", "limited_title"]

Style = Literal["overlay", "heatmap", "signed", "signed_color", "greyscale"]
STYLES: tuple[Style, ...] = get_args(Style)

_BAR_WIDTH = 112
_SHORTEST_BAR = 40
_BAR_HEIGHT = 10
_NARROWEST = 340
_WIDEST_NEED = 460
_GAP = 6
_LINE_GAP = 4
_TITLE_LINES = 2
_BAR_OF_TEXT = 0.8


def check_style(style: str) -> None:
    """Raise if ``style`` is not one of `STYLES`.

    Raises:
        ConfigurationError: If there is no such style.
    """
    if style not in STYLES:
        raise ConfigurationError(
            f"unknown style {style!r}; expected one of {', '.join(STYLES)}: {nearest_names(style, STYLES)}"
        )


def color_bar(style: Style, *, colormap: str = colors.DEFAULT_COLORMAP) -> npt.NDArray[np.uint8]:
    """Return the colors of a style from low to high, ``uint8 [256, 3]``.

    Raises:
        ConfigurationError: If there is no such style or color map.

    Example:
        >>> color_bar("greyscale")[[0, -1]].tolist()
        [[0, 0, 0], [255, 255, 255]]
    """
    check_style(style)
    ramp = np.linspace(0, 1, 256)[None, None, :]
    if style == "overlay":
        picture = colors.overlay_table(colormap)
    elif style == "heatmap":
        picture = colors.apply(ramp, colormap)
    elif style == "greyscale":
        picture = colors.greyscale(ramp)
    elif style == "signed":
        picture = colors.signed(2 * ramp - 1, np.ones(1))
    else:
        picture = colors.signed_color(2 * ramp[:, None] - 1, np.ones(1))
    return picture.reshape(256, 3)


def limited_title(title: str, shown: int, count: int) -> str:
    """Return a title that says how many of the samples are shown, where that is not all of them.

    Example:
        >>> limited_title("grad_cam", 64, 64), limited_title("grad_cam", 64, 70)
        ('grad_cam', 'grad_cam · first 64 of 70')
    """
    return f"{title} · first {shown} of {count}" if shown < count else title


@dataclass(frozen=True)
class Heading:
    """A title, and below it a color bar with its words.

    A title that is too long has two lines, and so has the legend.

    Args:
        title: What is shown, e.g. ``"grad_cam · epoch 3 · layer4"``.
        style: Style of the maps below.
        colormap: Color map of the maps below.
        scale_note: What the colors are relative to, e.g. ``"shared scale"``.
        room_for: A title for which there has to be room, so that headings with other titles look alike.
        sizes: Sizes of its text.

    Example:
        >>> canvas = Image.new("RGB", (800, 24), "white")
        >>> Heading("grad_cam · epoch 3", scale_note="shared scale").draw(canvas, left=0, top=0, width=800)
    """

    title: str
    style: Style = "overlay"
    colormap: str = colors.DEFAULT_COLORMAP
    scale_note: str = ""
    room_for: str = ""
    sizes: TextSizes = FIXED_SIZES

    @property
    def narrowest(self) -> int:
        """The width below which the color bar and its words do not fit; bounded."""
        return max(_NARROWEST, min(self._words_width() + _SHORTEST_BAR, _WIDEST_NEED))

    def height(self, width: int) -> int:
        """Return the height in pixels that the heading takes at a width."""
        first = self._n_title_lines(width) * text.line_height(self.sizes.title)
        lines = 2 if self._note_is_below(width) else 1
        return first + _LINE_GAP + lines * text.line_height(self.sizes.legend)

    def draw(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        """Draw the heading into a box of a width."""
        pen = ImageDraw.Draw(canvas)
        line = text.line_height(self.sizes.title)
        for place, words in enumerate(self._title_lines(self.title, width)):
            text.draw(pen, (left, top + place * line), words, size=self.sizes.title, color=INK, max_width=width)
        self._draw_legend(canvas, left, top + self._n_title_lines(width) * line + _LINE_GAP, width)

    def _draw_legend(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        pen = ImageDraw.Draw(canvas)
        size, line = self.sizes.legend, text.line_height(self.sizes.legend)
        start, right = left, left + width
        low, high = self._ends()
        bar_width = max(
            _SHORTEST_BAR, min(self._bar_width(), width - self._words_width(with_note=not self._note_is_below(width)))
        )
        left += text.draw(pen, (left, top), low, size=size, color=MUTED) + self._gap
        bar_height = max(_BAR_HEIGHT, round(size * _BAR_OF_TEXT))
        upper = top + (line - bar_height) // 2
        bar = np.broadcast_to(color_bar(self.style, colormap=self.colormap), (bar_height, 256, 3))
        canvas.paste(Image.fromarray(bar).resize((bar_width, bar_height), Image.Resampling.NEAREST), (left, upper))
        pen.rectangle((left - 1, upper - 1, left + bar_width, upper + bar_height), outline=EDGE)
        left += bar_width + self._gap
        left += text.draw(pen, (left, top), high, size=size, color=MUTED) + self._gap
        if self._note_is_below(width):
            left, top = start, top + line
        words = self._note() if left > start else text.printable(self.scale_note)
        text.draw(pen, (left, top), words, size=size, color=MUTED, max_width=right - left)

    def _ends(self) -> tuple[str, str]:
        return ("negative", "positive") if self.style in ("signed", "signed_color") else ("low", "high")

    def _note(self) -> str:
        return text.printable(f"· {self.scale_note}") if self.scale_note else ""

    @property
    def _gap(self) -> int:
        return max(_GAP, self.sizes.legend // 3)

    def _bar_width(self) -> int:
        return _BAR_WIDTH * self.sizes.legend // DETAIL_SIZE

    def _words_width(self, *, with_note: bool = True) -> int:
        """Return the width of everything in the legend but the bar."""
        words = (*self._ends(), *([self._note()] if with_note else []))
        gaps = 3 if self.scale_note and with_note else 2
        return sum(text.text_width(part, self.sizes.legend) for part in words) + gaps * self._gap

    def _note_is_below(self, width: int) -> bool:
        return bool(self.scale_note) and self._words_width() + _SHORTEST_BAR > width

    def _title_lines(self, title: str, width: int) -> list[str]:
        return [line.removesuffix(" ·") for line in text.wrapped(title, self.sizes.title, width, _TITLE_LINES)]

    def _n_title_lines(self, width: int) -> int:
        return max(1, *(len(self._title_lines(words, width)) for words in (self.title, self.room_for)))
