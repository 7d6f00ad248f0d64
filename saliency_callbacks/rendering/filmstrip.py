"""One picture of how the maps of a few samples change over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.colormap import DEFAULT_COLORMAP
from saliency_callbacks.rendering.contour import draw_contour
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.legend import Heading, Style, limited_title
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, MUTED, PAPER, WRONG, Color
from saliency_callbacks.rendering.tiles import check_pictures, fit, tile_limit

__all__ = ["MAX_ROWS", "filmstrip", "thin"]

MAX_ROWS = 16
"""Further samples are left out of a filmstrip, and the title says so."""

_MARGIN = 12
_GAP = 4
_INPUT_GAP = 10
_WIDEST_ROW_CAPTION = 140

_LARGEST_TILE = 192
# Longest side of all tiles of a row or column together: of square ones, and of long ones, which would get too thin.
_SQUARE_TILES_SIDE = 2000
_LONG_TILES_SIDE = 3000


def filmstrip(
    images: npt.NDArray[np.uint8],
    columns: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    row_captions: Sequence[str | Caption],
    *,
    title: str,
    regions: Sequence[npt.NDArray[np.bool_]] | None = None,
    max_columns: int = 16,
    tile: int = 96,
    pixels: int = 1_400_000,
    style: Style = "overlay",
    colormap: str = DEFAULT_COLORMAP,
    scale_note: str = "",
    room_for: str = "",
) -> npt.NDArray[np.uint8]:
    """Draw one row a sample: the input, then its map in each column, e.g. at each logged epoch, oldest first.

    Args:
        images: Inputs as pictures, ``uint8 [N, H, W, 3]``; the first 16 are shown.
        columns: Name and maps ``uint8 [N, H, W, 3]`` of each epoch. Of more than ``max_columns`` the first, the last
            and evenly spaced others are shown; their names tell which.
        row_captions: One for each sample; those of wrong predictions are red, and so is the frame of the input.
        title: Line at the top, e.g. the method.
        regions: Where the maps of each column are highest, ``bool [N, H, W]``, which is outlined; from `top_region`.
        max_columns: Most epochs that are shown, at least 2.
        tile: Side of the square below whose area pictures are enlarged by a whole number. Where there is room, tiles
            are up to twice as large.
        pixels: How many there is room for, all tiles together.
        style: Style of the maps, for the color bar.
        colormap: Color map of the maps, for the color bar.
        scale_note: What the colors are relative to, e.g. ``"shared scale"``.
        room_for: A title for which there has to be room, so that pictures with other titles are of the same size.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If the pictures are not ``uint8 [N, H, W, 3]``, or their numbers or sizes differ.
        ConfigurationError: If ``max_columns`` is below 2, or there is no such style or color map.

    Example:
        >>> pictures = np.zeros((2, 28, 28, 3), dtype=np.uint8)
        >>> columns = [("epoch 0", pictures), ("epoch 1", pictures)]
        >>> picture = filmstrip(pictures, columns, ["zero", "one"], title="grad_cam")
        >>> picture.dtype, picture.ndim
        (dtype('uint8'), 3)
    """
    _check(images, columns, row_captions)
    rows = min(len(images), MAX_ROWS)
    indices = thin(len(columns), max_columns)
    names = ["input", *(columns[index][0] for index in indices)]
    largest, longest_side = _tile_sizes(images, rows, len(names), tile, pixels)
    batches = [
        fit(batch[:rows], smallest=tile, largest=largest, longest_side=longest_side)
        for batch in (images, *(columns[index][1] for index in indices))
    ]
    if regions is not None:
        outlined = (regions[index][:rows] for index in indices)
        batches[1:] = [draw_contour(batch, region) for batch, region in zip(batches[1:], outlined, strict=True)]
    captions = [one if isinstance(one, Caption) else Caption(one) for one in row_captions[:rows]]
    heading = Heading(limited_title(title, rows, len(images)), style, colormap, scale_note, room_for)
    return _compose(batches, names, captions, heading)


def thin(count: int, limit: int) -> list[int]:
    """Return at most ``limit`` evenly spaced indices below ``count``, always with the first and the last.

    Raises:
        ConfigurationError: If ``limit`` is below 2.

    Example:
        >>> thin(9, 5), thin(3, 5)
        ([0, 2, 4, 6, 8], [0, 1, 2])
    """
    if limit < 2:
        raise ConfigurationError(
            f"the limit is {limit} columns; expected at least 2, for the first and the last moment"
        )
    if count <= limit:
        return list(range(count))
    return [round(step * (count - 1) / (limit - 1)) for step in range(limit)]


def _tile_sizes(images: npt.NDArray[np.uint8], rows: int, columns: int, smallest: int, pixels: int) -> tuple[int, int]:
    """Return the side of the largest square tiles, and the longest side of others."""
    largest = tile_limit(rows * columns, budget=pixels, smallest=smallest, largest=_LARGEST_TILE)
    largest = max(smallest, min(largest, _SQUARE_TILES_SIDE // max(rows, columns)))
    along = columns if images.shape[2] > images.shape[1] else rows
    return largest, max(smallest, min(2 * largest, _LONG_TILES_SIDE // along))


def _check(
    images: npt.NDArray[np.uint8],
    columns: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    row_captions: Sequence[str | Caption],
) -> None:
    check_pictures(images, "images")
    for name, maps in columns:
        check_pictures(maps, f"column {name!r}")
        if maps.shape != images.shape:
            raise InputError(
                f"column {name!r} has shape {list(maps.shape)}; expected {list(images.shape)}, like the images"
            )
    if len(row_captions) != len(images):
        raise InputError(f"got {len(row_captions)} row captions for {len(images)} images; expected one per image")


@dataclass(frozen=True)
class _Sheet:
    """Where everything goes; sizes in pixels."""

    tile_height: int
    tile_width: int
    rows: int
    caption_width: int
    lefts: tuple[int, ...]
    inner: int
    top: int

    @classmethod
    def of(
        cls,
        batches: Sequence[npt.NDArray[np.uint8]],
        names: Sequence[Sequence[str]],
        captions: Sequence[Caption],
        heading: Heading,
    ) -> _Sheet:
        rows, height, width, _ = batches[0].shape
        words = [part for caption in captions for part in (caption.title, caption.detail)]
        widest = max(text.text_width(text.printable(part), DETAIL_SIZE) for part in words)
        caption_width = min(widest, _WIDEST_ROW_CAPTION)
        first = _MARGIN + caption_width + (_INPUT_GAP if caption_width else 0)
        lefts = tuple(first + index * (width + _GAP) + (_INPUT_GAP if index else 0) for index in range(len(batches)))
        inner = max(lefts[-1] + width - _MARGIN, heading.narrowest)
        names_height = max(map(len, names)) * text.line_height(DETAIL_SIZE) + _GAP
        top = _MARGIN + heading.height(inner) + _MARGIN + names_height
        return cls(height, width, rows, caption_width, lefts, inner, top)

    @property
    def size(self) -> tuple[int, int]:
        return self.inner + 2 * _MARGIN, self.row(self.rows) - _GAP + _MARGIN

    def row(self, index: int) -> int:
        """Return the upper edge of a row."""
        return self.top + index * (self.tile_height + _GAP)


def _compose(
    batches: Sequence[npt.NDArray[np.uint8]], names: Sequence[str], captions: Sequence[Caption], heading: Heading
) -> npt.NDArray[np.uint8]:
    lines = [text.two_lines(name, DETAIL_SIZE, batches[0].shape[2]) for name in names]
    sheet = _Sheet.of(batches, lines, captions, heading)
    canvas = Image.new("RGB", sheet.size, PAPER)
    heading.draw(canvas, _MARGIN, _MARGIN, sheet.inner)
    for row, caption in enumerate(captions):
        _draw_row_caption(canvas, sheet, row, caption)
    for left, name, batch in zip(sheet.lefts, lines, batches, strict=True):
        _draw_name(canvas, sheet, left, name)
        _draw_column(canvas, sheet, left, batch)
    for row, caption in enumerate(captions):
        if caption.wrong:
            _frame_input(canvas, sheet, row)
    return np.asarray(canvas)


def _draw_row_caption(canvas: Image.Image, sheet: _Sheet, row: int, caption: Caption) -> None:
    """Draw as many lines of a caption as the row is high, in the middle of it."""
    line = text.line_height(DETAIL_SIZE)
    parts = [part for part in zip((caption.title, caption.detail), caption.colors, strict=True) if part[0]]
    parts = parts[: max(1, sheet.tile_height // line)]
    top = sheet.row(row) + (sheet.tile_height - line * len(parts)) // 2
    for words, color in parts:
        shown = text.ellipsize_head(words, DETAIL_SIZE, sheet.caption_width)
        _draw_line(canvas, (_MARGIN, top), shown, color, sheet.caption_width)
        top += line


def _draw_name(canvas: Image.Image, sheet: _Sheet, left: int, lines: Sequence[str]) -> None:
    """Draw the name of a column, its last line just above the tiles."""
    for index, part in enumerate(reversed(lines), start=1):
        top = sheet.top - _GAP - index * text.line_height(DETAIL_SIZE)
        _draw_line(canvas, (left, top), part, MUTED, sheet.tile_width)


def _draw_line(canvas: Image.Image, position: tuple[int, int], words: str, color: Color, width: int) -> None:
    text.draw(ImageDraw.Draw(canvas), position, words, size=DETAIL_SIZE, color=color, max_width=width)


def _draw_column(canvas: Image.Image, sheet: _Sheet, left: int, tiles: npt.NDArray[np.uint8]) -> None:
    pen = ImageDraw.Draw(canvas)
    for row, tile in enumerate(tiles):
        top = sheet.row(row)
        pen.rectangle((left - 1, top - 1, left + sheet.tile_width, top + sheet.tile_height), outline=EDGE)
        canvas.paste(Image.fromarray(tile), (left, top))


def _frame_input(canvas: Image.Image, sheet: _Sheet, row: int) -> None:
    left, top = sheet.lefts[0], sheet.row(row)
    frame = (left - 3, top - 3, left + sheet.tile_width + 2, top + sheet.tile_height + 2)
    ImageDraw.Draw(canvas).rectangle(frame, outline=WRONG, width=3)
