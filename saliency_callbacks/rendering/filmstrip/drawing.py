"""One picture of how the maps of a few samples change over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.colormap import DEFAULT_COLORMAP
from saliency_callbacks.rendering.contact_sheet import number_slices
from saliency_callbacks.rendering.contour import draw_contour
from saliency_callbacks.rendering.filmstrip.sheet import GAP, MARGIN, Sheet, is_cut, name_size
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.legend import Heading, Style, limited_title
from saliency_callbacks.rendering.outlines.drawing import draw_marks
from saliency_callbacks.rendering.outlines.marks import Marks
from saliency_callbacks.rendering.theme import EDGE, MUTED, PAPER, WRONG, Color
from saliency_callbacks.rendering.tiles import check_pictures, fit, tile_limit

__all__ = ["MAX_ROWS", "filmstrip", "thin"]

MAX_ROWS = 16
"""Further samples are left out of a filmstrip, and the title says so."""

_EPOCH = "epoch "
# From so many epochs on, columns bear numbers; up to so few columns, all have their name, if need be cut.
_MANY, _FEW = 3, 8

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
    marks: Sequence[Sequence[Marks]] | None = None,
    max_columns: int = 16,
    tile: int = 96,
    pixels: int = 1_400_000,
    style: Style = "overlay",
    colormap: str = DEFAULT_COLORMAP,
    scale_note: str = "",
    room_for: str = "",
    sheet: ContactSheet | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw one row a sample: the input, then its map in each column, e.g. at each logged epoch, oldest first.

    Args:
        images: Inputs as pictures, ``uint8 [N, H, W, 3]``; the first 16 are shown.
        columns: Name and maps ``uint8 [N, H, W, 3]`` of each epoch. Of more than ``max_columns`` the first, the last
            and evenly spaced others are shown; their names tell which.
        row_captions: One for each sample; those of wrong predictions are red, and so is the frame of the input.
        title: Line at the top, e.g. the method.
        regions: Where the maps of each column are highest, ``bool [N, H, W]``, which is outlined; from `top_region`.
        marks: Boxes and masks that are drawn on the inputs, and then those on the maps of each column.
        max_columns: Most epochs that are shown, at least 2.
        tile: Side of the square below whose area pictures are enlarged by a whole number. Where there is room, tiles
            are up to twice as large.
        pixels: How many there is room for, all tiles together.
        style: Style of the maps, for the color bar.
        colormap: Color map of the maps, for the color bar.
        scale_note: What the colors are relative to, e.g. ``"shared scale"``.
        room_for: A title for which there has to be room, so that pictures with other titles are of the same size.
        sheet: How the slices of volumes are arranged, where pictures are contact sheets.

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
    if marks is not None:
        drawn = (marks[0], *(marks[1 + index] for index in indices))
        batches = [draw_marks(batch, [one[:rows] for one in each]) for batch, each in zip(batches, drawn, strict=True)]
    captions = [one if isinstance(one, Caption) else Caption(one) for one in row_captions[:rows]]
    title = f"{title} · by epoch" if _short(names) != names else title
    heading = Heading(limited_title(title, rows, len(images)), style, colormap, scale_note, room_for)
    return _compose(batches, names, captions, heading, sheet)


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


def _compose(
    batches: Sequence[npt.NDArray[np.uint8]],
    names: Sequence[str],
    captions: Sequence[Caption],
    heading: Heading,
    slices: ContactSheet | None,
) -> npt.NDArray[np.uint8]:
    names = _short(names)
    sheet = Sheet.of(batches, names, captions, heading)
    canvas = Image.new("RGB", sheet.size, PAPER)
    replace(heading, sizes=sheet.sizes).draw(canvas, MARGIN, MARGIN, sheet.inner)
    for row, caption in enumerate(captions):
        _draw_row_caption(canvas, sheet, row, caption)
    _draw_names(canvas, sheet, names)
    for left in sheet.lefts:
        _draw_edges(canvas, sheet, left)
    for row, caption in enumerate(captions):
        if caption.wrong:
            _frame_input(canvas, sheet, row)
    picture = np.array(canvas)
    inputs = number_slices(batches[0], slices, sheet.sizes.caption)
    for left, batch in zip(sheet.lefts, [inputs, *batches[1:]], strict=True):
        _place_column(picture, sheet, left, batch)
    return picture


def _short(names: Sequence[str]) -> list[str]:
    """Return names of moments without what all have in common: ``epoch 3`` is 3 among many.

    Example:
        >>> _short(["input", "the start", "epoch 0", "epoch 1", "epoch 2"])
        ['input', 'start', '0', '1', '2']
    """
    epochs = [name for name in names if name.startswith(_EPOCH)]
    if len(epochs) < _MANY:
        return list(names)
    return [name.removeprefix(_EPOCH).removeprefix("the ") for name in names]


def _draw_row_caption(canvas: Image.Image, sheet: Sheet, row: int, caption: Caption) -> None:
    """Draw as many lines of a caption as the row is high, in the middle of it."""
    size = sheet.caption_size
    line = text.line_height(size)
    parts = [part for part in zip((caption.title, caption.detail), caption.colors, strict=True) if part[0]]
    parts = parts[: max(1, sheet.tile_height // line)]
    top = sheet.row(row) + (sheet.tile_height - line * len(parts)) // 2
    for words, color in parts:
        fitting = text.fitting_size(words, size, sheet.caption_width)
        shown = text.ellipsize_head(words, fitting, sheet.caption_width)
        _draw_line(canvas, (MARGIN, top), shown, color, sheet.caption_width, fitting)
        top += line


def _draw_names(canvas: Image.Image, sheet: Sheet, names: Sequence[str]) -> None:
    """Draw the names of columns, the last line of each just above its tiles; those that would be cut only if alone."""
    pitch = sheet.tile_width + GAP
    sizes = [name_size(name, sheet.tile_width, sheet.sizes.caption) for name in names]
    widths = [text.text_width(text.printable(name), size) for name, size in zip(names, sizes, strict=True)]
    fits = [not is_cut(name, size, sheet.tile_width) for name, size in zip(names, sizes, strict=True)]
    # The last of many is the newest; going back from it, each takes the columns that it covers.
    free = sheet.lefts[-1] + sheet.tile_width + MARGIN if sheet.lefts else 0
    for place in reversed(range(len(names))):
        left = sheet.lefts[place]
        if fits[place] or len(names) <= _FEW:
            lines = text.two_lines(names[place], sizes[place], sheet.tile_width)
            room = sheet.tile_width
        elif left + widths[place] <= free:
            lines, room = [names[place]], max(pitch, widths[place])
        else:
            continue
        free = left - GAP
        for index, part in enumerate(reversed(lines), start=1):
            top = sheet.top - GAP - index * text.line_height(sizes[place])
            _draw_line(canvas, (left, top), part, MUTED, room, sizes[place])


def _draw_line(canvas: Image.Image, position: tuple[int, int], words: str, color: Color, width: int, size: int) -> None:
    text.draw(ImageDraw.Draw(canvas), position, words, size=size, color=color, max_width=width)


def _draw_edges(canvas: Image.Image, sheet: Sheet, left: int) -> None:
    pen = ImageDraw.Draw(canvas)
    for row in range(sheet.rows):
        top = sheet.row(row)
        pen.rectangle((left - 1, top - 1, left + sheet.tile_width, top + sheet.tile_height), outline=EDGE)


def _place_column(picture: npt.NDArray[np.uint8], sheet: Sheet, left: int, tiles: npt.NDArray[np.uint8]) -> None:
    for row, tile in enumerate(tiles):
        top = sheet.row(row)
        picture[top : top + sheet.tile_height, left : left + sheet.tile_width] = tile


def _frame_input(canvas: Image.Image, sheet: Sheet, row: int) -> None:
    left, top = sheet.lefts[0], sheet.row(row)
    frame = (left - 3, top - 3, left + sheet.tile_width + 2, top + sheet.tile_height + 2)
    ImageDraw.Draw(canvas).rectangle(frame, outline=WRONG, width=3)
