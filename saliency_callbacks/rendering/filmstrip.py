"""One picture of how the maps of a few samples change over the epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.colormap import DEFAULT_COLORMAP
from saliency_callbacks.rendering.contour import draw_contour
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.legend import Heading, Style
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, INK, MUTED, PAPER, WRONG
from saliency_callbacks.rendering.tiles import check_pictures, fit, tile_limit

__all__ = ["MAX_ROWS", "filmstrip", "thin"]

MAX_ROWS = 16
"""Further samples are left out of a filmstrip, and the title says so."""

_MARGIN = 12
_GAP = 4
_INPUT_GAP = 10
_WIDEST_ROW_CAPTION = 140

_LARGEST_TILE = 192
# What all tiles of a row or column may take together; long ones would be too thin at the first.
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
        style: Style of the maps, for the colour bar.
        colormap: Colour map of the maps, for the colour bar.
        scale_note: What the colours are relative to, e.g. ``"shared scale"``.
        room_for: A title for which there has to be room, so that pictures with other titles are of the same size.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If the pictures are not ``uint8 [N, H, W, 3]``, or their numbers or sizes differ.
        ConfigurationError: If ``max_columns`` is below 2, or there is no such style or colour map.
    """
    _check(images, columns, row_captions)
    rows = min(len(images), MAX_ROWS)
    if rows < len(images):
        title = f"{title} · first {rows} of {len(images)}"
    indices = thin(len(columns), max_columns)
    shown = [columns[index] for index in indices]
    names = ["input", *(name for name, _ in shown)]
    largest = tile_limit(rows * len(names), budget=pixels, smallest=tile, largest=_LARGEST_TILE)
    largest = max(tile, min(largest, _SQUARE_TILES_SIDE // max(rows, len(names))))
    along = len(names) if images.shape[2] > images.shape[1] else rows
    longest_side = max(tile, min(2 * largest, _LONG_TILES_SIDE // along))
    batches = [
        fit(batch[:rows], smallest=tile, largest=largest, longest_side=longest_side)
        for batch in (images, *(maps for _, maps in shown))
    ]
    if regions is not None:
        outlined = (regions[index][:rows] for index in indices)
        batches[1:] = [draw_contour(batch, region) for batch, region in zip(batches[1:], outlined, strict=True)]
    captions = [one if isinstance(one, Caption) else Caption(one) for one in row_captions[:rows]]
    return _compose(batches, names, captions, Heading(title, style, colormap, scale_note, room_for))


def thin(count: int, limit: int) -> list[int]:
    """Return at most ``limit`` evenly spaced indices below ``count``, always with the first and the last.

    Raises:
        ConfigurationError: If ``limit`` is below 2.
    """
    if limit < 2:
        raise ConfigurationError(f"The limit is {limit} columns; expected at least 2, for the first and the last")
    if count <= limit:
        return list(range(count))
    return [round(place * (count - 1) / (limit - 1)) for place in range(limit)]


def _check(
    images: npt.NDArray[np.uint8],
    columns: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    row_captions: Sequence[str | Caption],
) -> None:
    check_pictures(images, "images")
    for name, maps in columns:
        check_pictures(maps, f"column {name!r}")
        if maps.shape != images.shape:
            raise InputError(f"Column {name!r} is {list(maps.shape)}; expected {list(images.shape)}, as the images")
    if len(row_captions) != len(images):
        raise InputError(f"Got {len(row_captions)} row captions for {len(images)} images; expected one for each")


def _compose(
    batches: Sequence[npt.NDArray[np.uint8]], names: Sequence[str], captions: Sequence[Caption], heading: Heading
) -> npt.NDArray[np.uint8]:
    rows, height, width, _ = batches[0].shape
    line = text.line_height(DETAIL_SIZE)
    words = [part for caption in captions for part in (caption.title, caption.detail)]
    caption_width = min(max(text.text_width(text.printable(part), DETAIL_SIZE) for part in words), _WIDEST_ROW_CAPTION)
    first = _MARGIN + caption_width + (_INPUT_GAP if caption_width else 0)
    lefts = [first + index * (width + _GAP) + (_INPUT_GAP if index else 0) for index in range(len(batches))]
    inner = max(lefts[-1] + width - _MARGIN, heading.narrowest)
    names_top = _MARGIN + heading.height(inner) + _MARGIN
    titles = [text.two_lines(name, DETAIL_SIZE, width) for name in names]
    name_lines = max(map(len, titles))
    top = names_top + name_lines * line + _GAP
    canvas = Image.new("RGB", (inner + 2 * _MARGIN, top + rows * (height + _GAP) - _GAP + _MARGIN), PAPER)
    heading.draw(canvas, _MARGIN, _MARGIN, inner)
    pen = ImageDraw.Draw(canvas)
    for row, caption in enumerate(captions):
        _draw_row_caption(pen, (_MARGIN, top + row * (height + _GAP)), caption, height, caption_width)
    for left, title, batch in zip(lefts, titles, batches, strict=True):
        for index, part in enumerate(reversed(title), start=1):
            text.draw(pen, (left, top - _GAP - index * line), part, size=DETAIL_SIZE, color=MUTED, max_width=width)
        for row, picture in enumerate(batch):
            upper = top + row * (height + _GAP)
            pen.rectangle((left - 1, upper - 1, left + width, upper + height), outline=EDGE)
            canvas.paste(Image.fromarray(picture), (left, upper))
    for row, caption in enumerate(captions):
        if caption.wrong:
            upper, left = top + row * (height + _GAP), lefts[0]
            pen.rectangle((left - 3, upper - 3, left + width + 2, upper + height + 2), outline=WRONG, width=3)
    return np.asarray(canvas)


def _draw_row_caption(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], caption: Caption, height: int, width: int
) -> None:
    """Draw as many lines of a caption as the row is high, in the middle of it."""
    line = text.line_height(DETAIL_SIZE)
    parts = [(words, color) for words, color in ((caption.title, INK), (caption.detail, MUTED)) if words]
    parts = parts[: max(1, height // line)]
    left, top = place
    top += (height - line * len(parts)) // 2
    for words, color in parts:
        ink = WRONG if caption.wrong else color
        shown = text.ellipsize_head(words, DETAIL_SIZE, width)
        text.draw(pen, (left, top), shown, size=DETAIL_SIZE, color=ink, max_width=width)
        top += line
