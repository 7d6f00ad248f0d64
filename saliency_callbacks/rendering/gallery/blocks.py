"""The parts of a gallery: title and caption, rows of samples, and pairs before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, INK, MUTED, TITLE_SIZE, WRONG, Color
from saliency_callbacks.rendering.tiles import fit

__all__ = [
    "COLUMNS",
    "FRAME",
    "GAP",
    "Block",
    "GalleryPair",
    "Head",
    "Line",
    "Pairs",
    "Tiles",
    "draw_heading",
    "heading_height",
]

COLUMNS = 4
GAP = 20
FRAME = 3
# The thin frame of a tile is inside the room of a thick one; text stands below the thin one.
_INSET = FRAME - 1
_ABOVE_TILES, _BELOW_TILES = 5, 4
_CAPTION_SIZE = 14
_TITLE_LINES, _CAPTION_LINES = 2, 6
_CUE = 96
_ENDLESS = 100_000
_CUE_WORDS = "the cue"


@dataclass(frozen=True)
class GalleryPair:
    """What is written below a sample of another class, before and after.

    Args:
        label: Name of its class.
        predicted: Name of the predicted class before and after.
        margins: Margin of the suspect class before and after, in logits.

    Example:
        >>> GalleryPair("9", ("9", "4"), (-1.2, 0.8)).margin_line("4")
        'margin of 4: −1.2 → +0.8'
    """

    label: str
    predicted: tuple[str, str]
    margins: tuple[float, float]

    def margin_line(self, class_name: str) -> str:
        """Return the margin of the suspect class before and after, in words."""
        before, after = (f"{margin:+.1f}".replace("-", "−") for margin in self.margins)
        return f"margin of {class_name}: {before} → {after}"

    def is_turned_to(self, class_name: str) -> bool:
        """Tell whether the cue turns the prediction to the suspect class."""
        return self.predicted[1] == class_name != self.predicted[0]


class Block(Protocol):
    """A part of the page that takes its full width."""

    def height(self, width: int) -> int:
        """Return how high it is at a width, in pixels."""

    def draw(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        """Draw it."""


@dataclass(frozen=True, eq=False)
class Head:
    """Title and caption, with the cue at the right."""

    title: str
    caption: str
    cue: npt.NDArray[np.uint8] | None

    def height(self, width: int) -> int:
        """Return how high it is at a width, in pixels."""
        titles, captions = self._lines(width)
        words = len(titles) * text.line_height(TITLE_SIZE) + 4 + len(captions) * text.line_height(_CAPTION_SIZE)
        tile = self._tile()
        if tile is None:
            return words
        beside: int = tile.shape[0] + 2 * FRAME + _BELOW_TILES + text.line_height(DETAIL_SIZE)
        return max(words, beside)

    def draw(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        """Draw it."""
        pen = ImageDraw.Draw(canvas)
        tile = self._tile()
        if tile is not None:
            box = self._box_width(tile)
            _draw_tile(canvas, left + width - tile.shape[1] - 2 * FRAME, top, tile)
            below = top + tile.shape[0] + 2 * FRAME + _BELOW_TILES
            text.draw(pen, (left + width - box + _INSET, below), _CUE_WORDS, size=DETAIL_SIZE, color=MUTED)
        titles, captions = self._lines(width)
        for line in titles:
            text.draw(pen, (left + _INSET, top), line, size=TITLE_SIZE, color=INK)
            top += text.line_height(TITLE_SIZE)
        top += 4
        for line in captions:
            text.draw(pen, (left + _INSET, top), line, size=_CAPTION_SIZE, color=MUTED)
            top += text.line_height(_CAPTION_SIZE)

    def _lines(self, width: int) -> tuple[list[str], list[str]]:
        tile = self._tile()
        room = width if tile is None else width - self._box_width(tile) - GAP
        return (
            text.wrapped(self.title, TITLE_SIZE, room, _TITLE_LINES),
            text.wrapped(self.caption, _CAPTION_SIZE, room, _CAPTION_LINES),
        )

    def _tile(self) -> npt.NDArray[np.uint8] | None:
        if self.cue is None:
            return None
        tile: npt.NDArray[np.uint8] = fit(self.cue[None], smallest=_CUE - 24, largest=_CUE, longest_side=_CUE)[0]
        return tile

    def _box_width(self, tile: npt.NDArray[np.uint8]) -> int:
        width: int = tile.shape[1] + 2 * FRAME
        return max(width, text.text_width(_CUE_WORDS, DETAIL_SIZE))


@dataclass(frozen=True)
class Line:
    """A line where there is nothing to show."""

    words: str

    def height(self, width: int) -> int:
        """Return how high it is at a width, in pixels."""
        return text.line_height(_CAPTION_SIZE)

    def draw(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        """Draw it."""
        pen = ImageDraw.Draw(canvas)
        text.draw(pen, (left + _INSET, top), self.words, size=_CAPTION_SIZE, color=MUTED, max_width=width)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles in rows, below a line that says what they are."""

    heading: str
    detail: str
    tiles: npt.NDArray[np.uint8]

    def height(self, width: int) -> int:
        """Return how high it is at a width, in pixels."""
        rows = -(-len(self.tiles) // COLUMNS)
        return int(heading_height() + rows * (self.tiles.shape[1] + 2 * FRAME + GAP) - GAP)

    def draw(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        """Draw it."""
        draw_heading(canvas, (left, top), self.heading, self.detail, width)
        top += heading_height()
        for index, tile in enumerate(self.tiles):
            row, column = divmod(index, COLUMNS)
            across, down = (side + 2 * FRAME + GAP for side in (tile.shape[1], tile.shape[0]))
            _draw_tile(canvas, left + column * across, top + row * down, tile)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Samples of other classes before and after, side by side, with what changed in words."""

    class_name: str
    before: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint8]
    pairs: Sequence[GalleryPair]

    def height(self, width: int) -> int:
        """Return how high it is at a width, in pixels."""
        rows = -(-len(self.pairs) // (COLUMNS // 2))
        return heading_height() + rows * (self._cell_height() + GAP) - GAP

    def draw(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        """Draw it."""
        turned = any(pair.is_turned_to(self.class_name) for pair in self.pairs)
        detail = "red frame: prediction flipped to that class" if turned else ""
        draw_heading(canvas, (left, top), "Other classes, before → after inserting the cue", detail, width)
        top += heading_height()
        for index, pair in enumerate(self.pairs):
            row, column = divmod(index, COLUMNS // 2)
            place = left + column * (self._cell_width() + GAP), top + row * (self._cell_height() + GAP)
            self._draw_pair(canvas, place, pair, self.before[index], self.after[index])

    def _draw_pair(
        self,
        canvas: Image.Image,
        place: tuple[int, int],
        pair: GalleryPair,
        before: npt.NDArray[np.uint8],
        after: npt.NDArray[np.uint8],
    ) -> None:
        left, top = place
        pen = ImageDraw.Draw(canvas)
        is_turned = pair.is_turned_to(self.class_name)
        _draw_tile(canvas, left, top, before)
        right = left + before.shape[1] + 2 * FRAME
        arrow_left = right + (GAP - text.text_width("→", _CAPTION_SIZE)) // 2
        middle = top + FRAME + (before.shape[0] - text.line_height(_CAPTION_SIZE)) // 2
        text.draw(pen, (arrow_left, middle), "→", size=_CAPTION_SIZE, color=INK)
        _draw_tile(canvas, right + GAP, top, after, frame=WRONG if is_turned else EDGE)
        top += before.shape[0] + 2 * FRAME + _BELOW_TILES
        colors = [*[WRONG if is_turned else INK] * (self._n_lines() - 1), MUTED]
        for line, color in zip(self._lines(pair), colors, strict=True):
            text.draw(pen, (left + _INSET, top), line, size=DETAIL_SIZE, color=color, max_width=self._cell_width())
            top += text.line_height(DETAIL_SIZE)

    def _lines(self, pair: GalleryPair) -> list[str]:
        label, turn = f"labeled {pair.label}", _turn(pair.predicted, self._cell_width())
        first = [f"{label} · {turn}"] if self._n_lines() == 2 else [label, turn]
        return [*first, pair.margin_line(text.ellipsize(self.class_name, DETAIL_SIZE, self._cell_width() // 3))]

    def _n_lines(self) -> int:
        whole = (f"labeled {pair.label} · {_turn(pair.predicted, _ENDLESS)}" for pair in self.pairs)
        widest = max(text.text_width(text.printable(line), DETAIL_SIZE) for line in whole)
        return 2 if widest <= self._cell_width() else 3

    def _cell_width(self) -> int:
        return int(2 * (self.before.shape[2] + 2 * FRAME) + GAP)

    def _cell_height(self) -> int:
        words = self._n_lines() * text.line_height(DETAIL_SIZE)
        return int(self.before.shape[1] + 2 * FRAME + _BELOW_TILES + words)


def _turn(predicted: tuple[str, str], width: int) -> str:
    """Return what was predicted before and after; long names are cut, so that both are seen."""
    if predicted[0] == predicted[1]:
        return f"still predicted {predicted[0]}"
    room = width - text.text_width("predicted  → ", DETAIL_SIZE)
    widths = [text.text_width(text.printable(name), DETAIL_SIZE) for name in predicted]
    # A short name leaves its room to the other.
    before, after = (
        text.ellipsize(name, DETAIL_SIZE, max(room // 2, room - other))
        for name, other in zip(predicted, reversed(widths), strict=True)
    )
    return f"predicted {before} → {after}"


def heading_height() -> int:
    """Return the height of a line that says what is below it, in pixels."""
    return text.line_height(_CAPTION_SIZE) + _ABOVE_TILES


def draw_heading(canvas: Image.Image, place: tuple[int, int], heading: str, detail: str, width: int) -> None:
    """Draw a line that says what is below it, with a detail in smaller letters."""
    pen = ImageDraw.Draw(canvas)
    left, top = place[0] + _INSET, place[1]
    taken = text.draw(pen, (left, top), heading, size=_CAPTION_SIZE, color=INK, max_width=width)
    rest, lower = width - taken - 8, top + text.line_height(_CAPTION_SIZE) - text.line_height(DETAIL_SIZE) - 1
    if detail and rest > 0:
        text.draw(pen, (left + taken + 8, lower), detail, size=DETAIL_SIZE, color=MUTED, max_width=rest)


def _draw_tile(canvas: Image.Image, left: int, top: int, tile: npt.NDArray[np.uint8], *, frame: Color = EDGE) -> None:
    height, width = tile.shape[:2]
    inset = _INSET if frame == EDGE else 0
    outer = (left + inset, top + inset, left + width + 2 * FRAME - 1 - inset, top + height + 2 * FRAME - 1 - inset)
    ImageDraw.Draw(canvas).rectangle(outer, fill=frame)
    canvas.paste(Image.fromarray(np.ascontiguousarray(tile)), (left + FRAME, top + FRAME))
