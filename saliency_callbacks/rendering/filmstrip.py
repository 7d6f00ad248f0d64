"""One picture of how the maps of a few samples change over the epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.colormap import DEFAULT_COLORMAP
from saliency_callbacks.rendering.contact_sheet import number_slices
from saliency_callbacks.rendering.contour import draw_contour
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.legend import Heading, Style, limited_title
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, MUTED, PAPER, WRONG, Color, TextSizes
from saliency_callbacks.rendering.tiles import check_pictures, fit, tile_limit

__all__ = ["MAX_ROWS", "filmstrip", "thin"]

MAX_ROWS = 16
"""Further samples are left out of a filmstrip, and the title says so."""

_MARGIN = 12
_GAP = 4
_INPUT_GAP = 10
_WIDEST_ROW_CAPTION = 140
_LARGEST_SHARE = 0.28
# Letters are not as wide at every size.
_SLACK = 1.06
_MEASURED_SIZE = 100
_MEASURED_WIDTH = 3000
_LEAST_OF_NAMES = 0.6
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
    batches[0] = number_slices(batches[0], sheet)
    if regions is not None:
        outlined = (regions[index][:rows] for index in indices)
        batches[1:] = [draw_contour(batch, region) for batch, region in zip(batches[1:], outlined, strict=True)]
    captions = [one if isinstance(one, Caption) else Caption(one) for one in row_captions[:rows]]
    title = f"{title} · by epoch" if _short(names) != names else title
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
        raise ConfigurationError(f"The limit is {limit} columns; expected at least 2, for the first and the last")
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
            raise InputError(f"Column {name!r} is {list(maps.shape)}; expected {list(images.shape)}, as the images")
    if len(row_captions) != len(images):
        raise InputError(f"Got {len(row_captions)} row captions for {len(images)} images; expected one for each")


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
    sizes: TextSizes

    @classmethod
    def of(
        cls,
        batches: Sequence[npt.NDArray[np.uint8]],
        names: Sequence[str],
        captions: Sequence[Caption],
        heading: Heading,
    ) -> _Sheet:
        rows, height, width, _ = batches[0].shape
        tiles = len(batches) * (width + _GAP) - _GAP + (_INPUT_GAP if len(batches) > 1 else 0)
        caption_width = _caption_width(captions, tiles, heading.narrowest)
        first = _MARGIN + caption_width + (_INPUT_GAP if caption_width else 0)
        lefts = tuple(first + index * (width + _GAP) + (_INPUT_GAP if index else 0) for index in range(len(batches)))
        inner = max(first - _MARGIN + tiles, heading.narrowest)
        sizes = TextSizes.legible(inner + 2 * _MARGIN)
        names_height = max(_name_height(name, width, sizes.caption) for name in names) + _GAP
        top = _MARGIN + replace(heading, sizes=sizes).height(inner) + _MARGIN + names_height
        return cls(height, width, rows, caption_width, lefts, inner, top, sizes)

    @property
    def caption_size(self) -> int:
        """Size of the captions of rows: legible, but a row of low tiles gets not much higher than these."""
        return max(DETAIL_SIZE, min(self.sizes.caption, self.tile_height))

    @property
    def size(self) -> tuple[int, int]:
        return self.inner + 2 * _MARGIN, self.row(self.rows) - _GAP + _MARGIN

    def row(self, index: int) -> int:
        """Return the upper edge of a row, which is at least as high as a line of its caption."""
        line = text.line_height(self.caption_size) if self.caption_width else 0
        return self.top + index * (max(self.tile_height, line) + _GAP)


def _caption_width(captions: Sequence[Caption], tiles: int, narrowest: int) -> int:
    """Return the room for captions of rows beside ``tiles`` pixels of tiles.

    The wider the picture, the larger the text and thus its captions, so their share of the whole is what is known.
    """
    words = [part for caption in captions for part in (caption.title, caption.detail)]
    longest = max(text.text_width(text.printable(part), _MEASURED_SIZE) for part in words) / _MEASURED_SIZE
    if not longest:
        return 0
    share = min(_SLACK * longest * TextSizes.legible(_MEASURED_WIDTH).caption / _MEASURED_WIDTH, _LARGEST_SHARE)
    least = min(math.ceil(longest * DETAIL_SIZE), _WIDEST_ROW_CAPTION)
    rest = tiles + 2 * _MARGIN + _INPUT_GAP
    return max(least, math.ceil(share * max(rest / (1 - share), narrowest + 2 * _MARGIN)))


def _name_size(name: str, width: int, legible: int) -> int:
    """Return the size of the name of a column: smaller where one of two lines would be cut, but not by much."""
    least = max(DETAIL_SIZE, round(_LEAST_OF_NAMES * legible))
    return next((size for size in range(legible, least, -1) if not _is_cut(name, size, width)), least)


def _name_height(name: str, width: int, legible: int) -> int:
    size = _name_size(name, width, legible)
    return len(text.two_lines(name, size, width)) * text.line_height(size)


def _is_cut(name: str, size: int, width: int) -> bool:
    """Return whether a name is cut in two lines, or touches the next one."""
    lines = text.two_lines(name, size, width)
    return any(line.endswith("…") or text.text_width(line, size) + size // 5 > width for line in lines)


def _compose(
    batches: Sequence[npt.NDArray[np.uint8]], names: Sequence[str], captions: Sequence[Caption], heading: Heading
) -> npt.NDArray[np.uint8]:
    names = _short(names)
    sheet = _Sheet.of(batches, names, captions, heading)
    canvas = Image.new("RGB", sheet.size, PAPER)
    replace(heading, sizes=sheet.sizes).draw(canvas, _MARGIN, _MARGIN, sheet.inner)
    for row, caption in enumerate(captions):
        _draw_row_caption(canvas, sheet, row, caption)
    _draw_names(canvas, sheet, names)
    for left, batch in zip(sheet.lefts, batches, strict=True):
        _draw_column(canvas, sheet, left, batch)
    for row, caption in enumerate(captions):
        if caption.wrong:
            _frame_input(canvas, sheet, row)
    return np.asarray(canvas)


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


def _draw_row_caption(canvas: Image.Image, sheet: _Sheet, row: int, caption: Caption) -> None:
    """Draw as many lines of a caption as the row is high, in the middle of it."""
    size = sheet.caption_size
    line = text.line_height(size)
    parts = [part for part in zip((caption.title, caption.detail), caption.colors, strict=True) if part[0]]
    parts = parts[: max(1, sheet.tile_height // line)]
    top = sheet.row(row) + (sheet.tile_height - line * len(parts)) // 2
    for words, color in parts:
        fitting = text.fitting_size(words, size, sheet.caption_width)
        shown = text.ellipsize_head(words, fitting, sheet.caption_width)
        _draw_line(canvas, (_MARGIN, top), shown, color, sheet.caption_width, fitting)
        top += line


def _draw_names(canvas: Image.Image, sheet: _Sheet, names: Sequence[str]) -> None:
    """Draw the names of columns, the last line of each just above its tiles; those that would be cut only if alone."""
    pitch = sheet.tile_width + _GAP
    sizes = [_name_size(name, sheet.tile_width, sheet.sizes.caption) for name in names]
    widths = [text.text_width(text.printable(name), size) for name, size in zip(names, sizes, strict=True)]
    fits = [not _is_cut(name, size, sheet.tile_width) for name, size in zip(names, sizes, strict=True)]
    # The last of many is the newest; going back from it, each takes the columns that it covers.
    free = sheet.lefts[-1] + sheet.tile_width + _MARGIN if sheet.lefts else 0
    for place in reversed(range(len(names))):
        left = sheet.lefts[place]
        if fits[place] or len(names) <= _FEW:
            lines = text.two_lines(names[place], sizes[place], sheet.tile_width)
            room = sheet.tile_width
        elif left + widths[place] <= free:
            lines, room = [names[place]], max(pitch, widths[place])
        else:
            continue
        free = left - _GAP
        for index, part in enumerate(reversed(lines), start=1):
            top = sheet.top - _GAP - index * text.line_height(sizes[place])
            _draw_line(canvas, (left, top), part, MUTED, room, sizes[place])


def _draw_line(canvas: Image.Image, position: tuple[int, int], words: str, color: Color, width: int, size: int) -> None:
    text.draw(ImageDraw.Draw(canvas), position, words, size=size, color=color, max_width=width)


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
