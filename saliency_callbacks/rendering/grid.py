"""Tiles with captions in a grid, under a heading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.legend import Heading
from saliency_callbacks.rendering.theme import EDGE, INK, MUTED, PAPER, WRONG, Color, caption_size

__all__ = ["Caption", "TileGrid"]

_MARGIN = 12
_CELL_GAP = 12
_FRAME = 3
_CAPTION_GAP = 3

_ASPECT = 1.6
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

    Args:
        tile_height: Height of a tile.
        tile_width: Width of a tile.
        columns: Number of tiles in a row.
        lines: Lines of a caption.

    Example:
        >>> grid = TileGrid.of(np.zeros((6, 100, 100, 3), dtype=np.uint8), [Caption("a")] * 6)
        >>> grid.columns, grid.lines
        (3, 1)
    """

    tile_height: int
    tile_width: int
    columns: int
    lines: int

    @staticmethod
    def of(tiles: npt.NDArray[np.uint8], captions: Sequence[Caption], columns: int | None = None) -> TileGrid:
        """Return a grid for tiles ``[N, height, width, 3]``; the columns are chosen for a pleasant aspect."""
        count, height, width, _ = tiles.shape
        grid = TileGrid(height, width, 1, 2 if any(caption.detail for caption in captions) else 1)
        chosen = min(columns, count) if columns else _columns(count, grid.width + _CELL_GAP, grid.height + _CELL_GAP)
        return TileGrid(height, width, chosen, grid.lines)

    @property
    def width(self) -> int:
        """Width of a cell."""
        return self.tile_width + 2 * _FRAME

    @property
    def height(self) -> int:
        """Height of a cell."""
        return self.tile_height + 2 * _FRAME + _CAPTION_GAP + self.lines * text.line_height(caption_size(self.width))

    def draw(
        self, tiles: npt.NDArray[np.uint8], captions: Sequence[Caption], heading: Heading
    ) -> npt.NDArray[np.uint8]:
        """Draw tiles, captions and heading; return ``uint8 [height, width, 3]``."""
        inner = max(self.columns * (self.width + _CELL_GAP) - _CELL_GAP, heading.narrowest + 2 * (_FRAME - 1))
        line = inner - 2 * (_FRAME - 1)
        top = _MARGIN + heading.height(line) + _CELL_GAP
        rows = -(-len(tiles) // self.columns)
        canvas = Image.new("RGB", (inner + 2 * _MARGIN, top + rows * (self.height + _CELL_GAP)), PAPER)
        heading.draw(canvas, _MARGIN + _FRAME - 1, _MARGIN, line)
        for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
            row, column = divmod(index, self.columns)
            left, upper = _MARGIN + column * (self.width + _CELL_GAP), top + row * (self.height + _CELL_GAP)
            self._draw_tile(canvas, left, upper, tile, is_wrong=bool(caption.wrong))
            self._draw_caption(canvas, left, upper + self.tile_height + 2 * _FRAME + _CAPTION_GAP, caption)
        return np.asarray(canvas)

    def _draw_tile(
        self, canvas: Image.Image, left: int, top: int, tile: npt.NDArray[np.uint8], *, is_wrong: bool
    ) -> None:
        right, bottom = left + self.width - 1, top + self.tile_height + 2 * _FRAME - 1
        inset = 0 if is_wrong else _FRAME - 1
        frame = (left + inset, top + inset, right - inset, bottom - inset)
        ImageDraw.Draw(canvas).rectangle(frame, fill=WRONG if is_wrong else EDGE)
        canvas.paste(Image.fromarray(tile), (left + _FRAME, top + _FRAME))

    def _draw_caption(self, canvas: Image.Image, left: int, top: int, caption: Caption) -> None:
        pen = ImageDraw.Draw(canvas)
        size, widest = caption_size(self.width), self.width - 4
        parts = list(zip((caption.title, caption.detail), caption.colors, strict=True))
        for words, color in parts[: self.lines]:
            shown = text.ellipsize_head(words, size, widest)
            text.draw(pen, (left + 2, top), shown, size=size, color=color, max_width=widest)
            top += text.line_height(size)


def _columns(count: int, width: int, height: int) -> int:
    """Return the number of columns whose grid is closest to a landscape page and has few empty cells."""

    def cost(columns: int) -> float:
        rows = -(-count // columns)
        empty = columns * rows - count
        return abs(math.log(columns * width / (rows * height * _ASPECT))) + empty * _EMPTY_CELL_COST

    return min(range(1, count + 1), key=cost)
