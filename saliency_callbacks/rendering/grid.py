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
from saliency_callbacks.rendering.theme import EDGE, INK, MUTED, PAPER, WRONG, caption_size

__all__ = ["Caption", "Grid"]

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
    """

    title: str
    detail: str = ""
    wrong: bool | None = None


@dataclass(frozen=True)
class Grid:
    """Framed tiles with up to two lines of caption below each; sizes in pixels.

    Args:
        tile_height: Height of a tile.
        tile_width: Width of a tile.
        columns: Number of tiles in a row.
        lines: Lines of a caption.
    """

    tile_height: int
    tile_width: int
    columns: int
    lines: int

    @staticmethod
    def of(tiles: npt.NDArray[np.uint8], captions: Sequence[Caption], columns: int | None = None) -> Grid:
        """Return a grid for tiles ``[N, height, width, 3]``; the columns are chosen for a pleasant aspect."""
        count, height, width, _ = tiles.shape
        grid = Grid(height, width, 1, 2 if any(caption.detail for caption in captions) else 1)
        chosen = min(columns, count) if columns else _columns(count, grid.width + _CELL_GAP, grid.height + _CELL_GAP)
        return Grid(height, width, chosen, grid.lines)

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
            place = _MARGIN + column * (self.width + _CELL_GAP), top + row * (self.height + _CELL_GAP)
            self._draw_cell(canvas, place, tile, caption)
        return np.asarray(canvas)

    def _draw_cell(
        self, canvas: Image.Image, place: tuple[int, int], tile: npt.NDArray[np.uint8], caption: Caption
    ) -> None:
        pen = ImageDraw.Draw(canvas)
        left, top = place
        right, bottom = left + self.width - 1, top + self.tile_height + 2 * _FRAME - 1
        if caption.wrong:
            pen.rectangle((left, top, right, bottom), fill=WRONG)
        else:
            inset = _FRAME - 1
            pen.rectangle((left + inset, top + inset, right - inset, bottom - inset), fill=EDGE)
        canvas.paste(Image.fromarray(tile), (left + _FRAME, top + _FRAME))
        line, size = bottom + 1 + _CAPTION_GAP, caption_size(self.width)
        parts = ((caption.title, INK), (caption.detail, MUTED))
        for words, color in parts[: self.lines]:
            ink = WRONG if caption.wrong else color
            shown = text.ellipsize_head(words, size, self.width - 4)
            text.draw(pen, (left + 2, line), shown, size=size, color=ink, max_width=self.width - 4)
            line += text.line_height(size)


def _columns(count: int, width: int, height: int) -> int:
    """Return the number of columns whose grid is closest to a landscape page and has few empty cells."""

    def cost(columns: int) -> float:
        rows = -(-count // columns)
        empty = columns * rows - count
        return abs(math.log(columns * width / (rows * height * _ASPECT))) + empty * _EMPTY_CELL_COST

    return min(range(1, count + 1), key=cost)
