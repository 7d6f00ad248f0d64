"""One picture of a whole probe batch: every input beside its map, with a caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.colormap import DEFAULT_COLORMAP
from saliency_callbacks.rendering.legend import Heading, Style
from saliency_callbacks.rendering.theme import EDGE, INK, MUTED, PAPER, WRONG, caption_size
from saliency_callbacks.rendering.tiles import check_pictures, fit, tile_limit

__all__ = ["MAX_SAMPLES", "Caption", "panel"]

MAX_SAMPLES = 64
"""Further samples are left out of a panel, and the title says so."""

_MARGIN = 12
_CELL_GAP = 12
_FRAME = 3
# Room for the colour bar and its words above a single small sample.
_NARROWEST = 340
_PAIR_GAP = 2
_CAPTION_GAP = 3
_WIDE = 1.8

_ASPECT = 1.6
_EMPTY_CELL_COST = 0.15
_PIXEL_BUDGET = 800_000
_SMALLEST_LIMIT = 112
_LARGEST_LIMIT = 256


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


def panel(
    images: npt.NDArray[np.uint8],
    rendered: npt.NDArray[np.uint8],
    captions: Sequence[Caption],
    *,
    title: str,
    columns: int | None = None,
    min_tile: int = 112,
    style: Style = "overlay",
    colormap: str = DEFAULT_COLORMAP,
    scale_note: str = "",
) -> npt.NDArray[np.uint8]:
    """Draw inputs and their maps side by side, in a grid.

    Wide pictures stand above their maps instead. Tiles shrink as the number of samples grows, so that a panel stays
    at a few megapixels; of more than 64 samples the first 64 are shown.

    Args:
        images: Inputs as pictures, ``uint8 [N, H, W, 3]``.
        rendered: Maps as pictures, ``uint8 [N, H, W, 3]``.
        captions: One for each sample.
        title: Line at the top, e.g. method, moment and layer.
        columns: Number of cells in a row; chosen for a pleasant aspect by default.
        min_tile: Side of the square below whose area pictures are enlarged by a whole number.
        style: Style of the maps, for the colour bar.
        colormap: Colour map of the maps, for the colour bar.
        scale_note: What the colours are relative to, e.g. ``"shared scale"``.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If the pictures are not ``uint8 [N, H, W, 3]``, or their numbers or sizes differ.
        ConfigurationError: If there is no such style or colour map, or ``columns`` is not positive.
    """
    _check(images, rendered, captions, columns)
    count = min(len(images), MAX_SAMPLES)
    if count < len(images):
        title = f"{title} · first {count} of {len(images)}"
    largest = tile_limit(2 * count, budget=_PIXEL_BUDGET, smallest=_SMALLEST_LIMIT, largest=_LARGEST_LIMIT)
    pairs = _pair(*(fit(batch[:count], smallest=min_tile, largest=largest) for batch in (images, rendered)))
    cell = _Cell.around(pairs, captions)
    columns = min(columns, count) if columns else _columns(count, cell.width + _CELL_GAP, cell.height + _CELL_GAP)
    heading = Heading(title, style, colormap, scale_note)
    inner = max(columns * (cell.width + _CELL_GAP) - _CELL_GAP, _NARROWEST)
    top = _MARGIN + heading.height(inner - 2 * (_FRAME - 1)) + _CELL_GAP
    height = top + -(-count // columns) * (cell.height + _CELL_GAP)
    canvas = Image.new("RGB", (inner + 2 * _MARGIN, height), PAPER)
    heading.draw(canvas, _MARGIN + _FRAME - 1, _MARGIN, inner - 2 * (_FRAME - 1))
    for index, (pair, caption) in enumerate(zip(pairs, captions, strict=False)):
        row, column = divmod(index, columns)
        left, upper = _MARGIN + column * (cell.width + _CELL_GAP), top + row * (cell.height + _CELL_GAP)
        cell.draw(canvas, left, upper, pair, caption)
    return np.asarray(canvas)


@dataclass(frozen=True)
class _Cell:
    """A framed pair of pictures with up to two lines of caption below it; sizes in pixels."""

    width: int
    height: int
    lines: int
    text_size: int

    @staticmethod
    def around(pairs: npt.NDArray[np.uint8], captions: Sequence[Caption]) -> _Cell:
        width = pairs.shape[2] + 2 * _FRAME
        lines = 2 if any(caption.detail for caption in captions) else 1
        size = caption_size(width)
        height = pairs.shape[1] + 2 * _FRAME + _CAPTION_GAP + lines * text.line_height(size)
        return _Cell(width, height, lines, size)

    def draw(self, canvas: Image.Image, left: int, top: int, pair: npt.NDArray[np.uint8], caption: Caption) -> None:
        pen = ImageDraw.Draw(canvas)
        right, bottom = left + self.width - 1, top + pair.shape[0] + 2 * _FRAME - 1
        if caption.wrong:
            pen.rectangle((left, top, right, bottom), fill=WRONG)
        else:
            inset = _FRAME - 1
            pen.rectangle((left + inset, top + inset, right - inset, bottom - inset), fill=EDGE)
        canvas.paste(Image.fromarray(pair), (left + _FRAME, top + _FRAME))
        line = bottom + 1 + _CAPTION_GAP
        parts = ((caption.title, INK), (caption.detail, MUTED))
        for words, color in parts[: self.lines]:
            ink = WRONG if caption.wrong else color
            text.draw(pen, (left + 2, line), words, size=self.text_size, color=ink, max_width=self.width - 4)
            line += text.line_height(self.text_size)


def _check(
    images: npt.NDArray[np.uint8],
    rendered: npt.NDArray[np.uint8],
    captions: Sequence[Caption],
    columns: int | None,
) -> None:
    check_pictures(images, "images")
    check_pictures(rendered, "rendered")
    if rendered.shape != images.shape or len(captions) != len(images):
        raise InputError(
            f"Got images {list(images.shape)}, rendered {list(rendered.shape)} and {len(captions)} captions; "
            "expected pictures of equal shape and a caption for each"
        )
    if columns is not None and columns < 1:
        raise ConfigurationError(f"columns is {columns}; expected a positive number, or None to choose it")


def _pair(images: npt.NDArray[np.uint8], rendered: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Join inputs and maps side by side, or one above the other where they are wide."""
    count, height, width, _ = images.shape
    stacked = width > _WIDE * height
    gap_shape = (count, _PAIR_GAP, width, 3) if stacked else (count, height, _PAIR_GAP, 3)
    gap = np.full(gap_shape, 255, dtype=np.uint8)
    return np.concatenate([images, gap, rendered], axis=1 if stacked else 2)


def _columns(count: int, width: int, height: int) -> int:
    """Return the number of columns whose grid is closest to a landscape page and has few empty cells."""

    def cost(columns: int) -> float:
        rows = -(-count // columns)
        empty = columns * rows - count
        return abs(math.log(columns * width / (rows * height * _ASPECT))) + empty * _EMPTY_CELL_COST

    return min(range(1, count + 1), key=cost)
