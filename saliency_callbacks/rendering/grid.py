"""Tiles with captions in a grid, under a heading."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.legend import Heading
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, INK, MUTED, PAPER, WRONG, Color, TextSizes

__all__ = ["Caption", "TileGrid", "class_captions", "mistake_captions"]

_MARGIN = 12
_CELL_GAP = 12
_FRAME = 3
_CAPTION_GAP = 3

_ASPECT = 1.6
_MOST_ROWS = 8
_TALLEST = 2.2
_MEASURED_SIZE = 100
# Longer captions are cut.
_LONGEST = 8.2
_EMPTY_CELL_COST = 0.15


@dataclass(frozen=True)
class Caption:
    """What is written below a sample.

    Args:
        title: First line, e.g. the sample's label.
        detail: Second line, e.g. ``"pred 7 · 0.93"``; empty for none.
        wrong: Whether the prediction is wrong, which is marked in red; ``None`` where that is not known.

    Example:
        >>> Caption("#3 · label 1", "pred 7 · 0.93", wrong=True).wrong
        True
    """

    title: str
    detail: str = ""
    wrong: bool | None = None

    @property
    def colors(self) -> tuple[Color, Color]:
        """Colors of the two lines."""
        return (WRONG, WRONG) if self.wrong else (INK, MUTED)


@dataclass(frozen=True)
class TileGrid:
    """Framed tiles with up to two lines of caption below each; sizes in pixels.

    Text is so large that it can be read where the picture is shown 300 pixels wide, and the more of it there is, the
    fewer tiles stand in a row.

    Args:
        tile_height: Height of a tile.
        tile_width: Width of a tile.
        columns: Number of tiles in a row.
        lines: Lines of a caption.
        longest: Width of the longest caption, in units of its text's size.

    Example:
        >>> grid = TileGrid.of(np.zeros((6, 100, 100, 3), dtype=np.uint8), [Caption("a")] * 6)
        >>> grid.columns, grid.lines
        (3, 1)
    """

    tile_height: int
    tile_width: int
    columns: int
    lines: int
    longest: float = 1.0

    @staticmethod
    def of(tiles: npt.NDArray[np.uint8], captions: Sequence[Caption], columns: int | None = None) -> TileGrid:
        """Return a grid for tiles ``[N, height, width, 3]``; the columns are chosen for a pleasant aspect."""
        count, height, width, _ = tiles.shape
        lines = 2 if any(caption.detail for caption in captions) else 1
        words = [part for caption in captions for part in (caption.title, caption.detail)]
        longest = max(text.text_width(text.printable(part), _MEASURED_SIZE) for part in words) / _MEASURED_SIZE
        grid = TileGrid(height, width, 1, lines, max(1.0, min(longest, _LONGEST)))
        return replace(grid, columns=min(columns, count) if columns else grid._columns(count))

    @property
    def width(self) -> int:
        """Width of a cell."""
        return self.tile_width + 2 * _FRAME

    @property
    def text_size(self) -> int:
        """Size of text that can be read, whatever room there is for it."""
        return TextSizes.legible(self._inner(self.columns) + 2 * _MARGIN).caption

    def height(self, inner: int) -> int:
        """Height of a cell in a picture that is ``inner`` pixels wide within its margins."""
        words = self.lines * text.line_height(self._caption_size(inner))
        return self.tile_height + 2 * _FRAME + _CAPTION_GAP + words

    def draw(
        self, tiles: npt.NDArray[np.uint8], captions: Sequence[Caption], heading: Heading
    ) -> npt.NDArray[np.uint8]:
        """Draw tiles, captions and heading; return ``uint8 [height, width, 3]``."""
        inner = max(self._inner(self.columns), heading.narrowest + 2 * (_FRAME - 1))
        heading = replace(heading, sizes=TextSizes.legible(inner + 2 * _MARGIN))
        line, height = inner - 2 * (_FRAME - 1), self.height(inner)
        top = _MARGIN + heading.height(line) + _CELL_GAP
        rows = -(-len(tiles) // self.columns)
        canvas = Image.new("RGB", (inner + 2 * _MARGIN, top + rows * (height + _CELL_GAP)), PAPER)
        heading.draw(canvas, _MARGIN + _FRAME - 1, _MARGIN, line)
        size = self._caption_size(inner)
        for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
            row, column = divmod(index, self.columns)
            left, upper = _MARGIN + column * (self.width + _CELL_GAP), top + row * (height + _CELL_GAP)
            self._draw_tile(canvas, left, upper, tile, is_wrong=bool(caption.wrong))
            self._draw_caption(canvas, left, upper + self.tile_height + 2 * _FRAME + _CAPTION_GAP, caption, size)
        return np.asarray(canvas)

    def _inner(self, columns: int) -> int:
        return columns * (self.width + _CELL_GAP) - _CELL_GAP

    def _caption_size(self, inner: int) -> int:
        """Return the size of captions: legible, and smaller only where they would be cut as many stand in a row."""
        fitting = int((self.width - 4) / self.longest)
        return max(DETAIL_SIZE, min(TextSizes.legible(inner + 2 * _MARGIN).caption, fitting))

    def _draw_tile(
        self, canvas: Image.Image, left: int, top: int, tile: npt.NDArray[np.uint8], *, is_wrong: bool
    ) -> None:
        right, bottom = left + self.width - 1, top + self.tile_height + 2 * _FRAME - 1
        inset = 0 if is_wrong else _FRAME - 1
        frame = (left + inset, top + inset, right - inset, bottom - inset)
        ImageDraw.Draw(canvas).rectangle(frame, fill=WRONG if is_wrong else EDGE)
        canvas.paste(Image.fromarray(tile), (left + _FRAME, top + _FRAME))

    def _draw_caption(self, canvas: Image.Image, left: int, top: int, caption: Caption, size: int) -> None:
        pen, widest = ImageDraw.Draw(canvas), self.width - 4
        parts = list(zip((caption.title, caption.detail), caption.colors, strict=True))
        for words, color in parts[: self.lines]:
            fitting = text.fitting_size(words, size, widest)
            shown = text.ellipsize_head(words, fitting, widest)
            text.draw(pen, (left + 2, top), shown, size=fitting, color=color, max_width=widest)
            top += text.line_height(size)

    def _columns(self, count: int) -> int:
        """Return the number of columns whose grid is closest to a landscape page and has few empty cells."""

        def cost(columns: int) -> float:
            rows = -(-count // columns)
            inner = self._inner(columns)
            height = rows * (self.height(inner) + _CELL_GAP)
            return abs(math.log(inner / (height * _ASPECT))) + (columns * rows - count) * _EMPTY_CELL_COST

        def is_legible(columns: int) -> bool:
            inner = self._inner(columns)
            return self._caption_size(inner) >= TextSizes.legible(inner + 2 * _MARGIN).caption

        def is_no_strip(columns: int) -> bool:
            rows, inner = -(-count // columns), self._inner(columns)
            return rows <= _MOST_ROWS and rows * self.height(inner) <= _TALLEST * inner

        possible = range(1, count + 1)
        looked_at = [columns for columns in possible if is_no_strip(columns)] or [count]
        return min([columns for columns in looked_at if is_legible(columns)] or looked_at[:1], key=cost)


def class_captions(class_name: Callable[[int], str], indices: Sequence[int], counts: Sequence[int]) -> list[Caption]:
    """Return the name of each class, and how many maps there are of it.

    Args:
        class_name: Returns the name of a class, in letters that can be drawn.
        indices: The classes; a negative one stands for all together.
        counts: Maps of each.

    Example:
        >>> class_captions(str, [-1, 3], [12, 5])[0]
        Caption(title='all', detail='12 maps', wrong=None)
    """
    return [
        Caption("all" if index < 0 else class_name(index), f"{count} maps")
        for index, count in zip(indices, counts, strict=True)
    ]


def mistake_captions(
    class_name: Callable[[int], str],
    labels: Sequence[int],
    predictions: Sequence[int],
    confidences: Sequence[float],
    positions: Sequence[int],
) -> list[Caption]:
    """Return what each wrongly classified sample is, and what it is taken for.

    Args:
        class_name: Returns the name of a class, in letters that can be drawn.
        labels: Class of each sample.
        predictions: Class that is predicted.
        confidences: How sure the model is, in [0, 1].
        positions: Where the sample is in the dataset.

    Example:
        >>> mistake_captions(["cat", "dog"].__getitem__, [0], [1], [0.934], [7])[0].detail
        '✕ dog · 93% · #7'
    """
    return [
        Caption(class_name(label), f"✕ {class_name(predicted)} · {confidence:.0%} · #{position}", wrong=True)
        for label, predicted, confidence, position in zip(labels, predictions, confidences, positions, strict=True)
    ]
