"""What is drawn on contact sheets of volumes: lines between their slices, and the number of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.arrays.slices import ContactSheet, axis_name, slice_noun
from saliency_callbacks.rendering import text

__all__ = ["number_slices", "sheet_note", "sheet_of"]

_VOLUME_DIMENSIONS = 3
_SMALLEST = 10
_PART_OF_SLICE = 5
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def sheet_of(spatial: Sequence[int]) -> ContactSheet | None:
    """Return the contact sheet of samples of a size; ``None`` where they are no volumes.

    Example:
        >>> sheet_of((28, 28)), sheet_of((2, 28, 28)).indices
        (None, (0, 1))
    """
    return ContactSheet.of(spatial) if len(spatial) == _VOLUME_DIMENSIONS else None


def sheet_note(sheet: ContactSheet, names: Sequence[str] | None) -> str:
    """Return in words what the numbers on a sheet count.

    Example:
        >>> sheet_note(ContactSheet.of((24, 8, 8)), ("depth", "height", "width"))
        '9 of 24 slices, axis 0 (depth)'
    """
    many = f"{len(sheet.indices)} of {sheet.count}" if len(sheet.indices) < sheet.count else f"{sheet.count}"
    return f"{many} {slice_noun(names)}{'' if sheet.count == 1 else 's'}, {axis_name(0, names)}"


def number_slices(tiles: npt.NDArray[np.uint8], sheet: ContactSheet | None) -> npt.NDArray[np.uint8]:
    """Draw lines between the slices of contact sheets, and in the corner of each its number, counted from 1.

    Args:
        tiles: Sheets at the size at which they are shown, ``uint8 [N, H, W, 3]``.
        sheet: How they are arranged; ``None`` where they are no sheets.

    Returns:
        ``uint8 [N, H, W, 3]``; ``tiles`` themselves where they are no sheets.

    Example:
        >>> tiles = np.zeros((1, 90, 90, 3), dtype=np.uint8)
        >>> number_slices(tiles, ContactSheet.of((9, 30, 30))).shape
        (1, 90, 90, 3)
    """
    return tiles if sheet is None else np.stack([_numbered(tile, sheet) for tile in tiles])


def _numbered(tile: npt.NDArray[np.uint8], sheet: ContactSheet) -> npt.NDArray[np.uint8]:
    picture = Image.fromarray(tile)
    pen = ImageDraw.Draw(picture)
    width, height = picture.width / sheet.columns, picture.height / sheet.rows
    for column in range(1, sheet.columns):
        pen.line([(round(column * width), 0), (round(column * width), picture.height)], fill=_WHITE)
    for row in range(1, sheet.rows):
        pen.line([(0, round(row * height)), (picture.width, round(row * height))], fill=_WHITE)
    size = max(_SMALLEST, round(min(width, height) / _PART_OF_SLICE))
    for place, index in enumerate(sheet.indices):
        row, column = divmod(place, sheet.columns)
        _draw_number(pen, round(column * width), round(row * height), str(index + 1), size)
    return np.asarray(picture)


def _draw_number(pen: ImageDraw.ImageDraw, left: int, top: int, words: str, size: int) -> None:
    right, bottom = left + text.text_width(words, size) + 4, top + text.line_height(size) - 1
    pen.rectangle((left, top, right, bottom), fill=_BLACK)
    text.draw(pen, (left + 2, top - 1), words, size=size, color=_WHITE)
