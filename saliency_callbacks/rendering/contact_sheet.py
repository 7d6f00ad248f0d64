"""What is drawn on contact sheets of volumes: lines between their slices, and the number of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from saliency_callbacks.arrays.slices import ContactSheet, axis_name, slice_noun
from saliency_callbacks.config.wording import counted
from saliency_callbacks.rendering import text

__all__ = ["number_slices", "sheet_note", "sheet_of"]

_VOLUME_DIMENSIONS = 3
# Of a slice, what its number may cover.
_LARGEST_PART = 0.6
_MARGINS = 4
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def sheet_of(spatial: Sequence[int]) -> ContactSheet | None:
    """Return the contact sheet of samples of a size; ``None`` where they are no volumes.

    Example:
        >>> sheet_of((28, 28)), sheet_of((2, 28, 28)).indices
        (None, (0, 1))
    """
    return ContactSheet.of(spatial) if len(spatial) == _VOLUME_DIMENSIONS else None


def sheet_note(sheet: ContactSheet, names: Sequence[str] | None) -> str:
    """Return in words which slices are on a sheet, counted from 1: where slices are small, they bear no numbers.

    Example:
        >>> sheet_note(ContactSheet.of((24, 8, 8)), ("depth", "height", "width"))
        'slices 4, 10, 16, 22 of 24, axis 0 (depth)'
    """
    noun, where = slice_noun(names), axis_name(0, names)
    if len(sheet.indices) == sheet.count:
        return f"{counted(sheet.count, noun)}, {where}"
    return f"{noun}s {', '.join(str(index + 1) for index in sheet.indices)} of {sheet.count}, {where}"


def number_slices(tiles: npt.NDArray[np.uint8], sheet: ContactSheet | None, size: int) -> npt.NDArray[np.uint8]:
    """Draw lines between the slices of contact sheets, and in the corner of each its number, counted from 1.

    There are no numbers where they would cover most of a slice; :func:`sheet_note` tells them all the same.

    Args:
        tiles: Sheets at the size at which they are shown, ``uint8 [N, H, W, 3]``.
        sheet: How they are arranged; ``None`` where they are no sheets.
        size: Size of the numbers, at which they can be read where the picture is shown.

    Returns:
        ``uint8 [N, H, W, 3]``; ``tiles`` themselves where they are no sheets.

    Example:
        >>> tiles = np.zeros((1, 90, 90, 3), dtype=np.uint8)
        >>> number_slices(tiles, ContactSheet.of((4, 45, 45)), 12).shape
        (1, 90, 90, 3)
    """
    return tiles if sheet is None else np.stack([_numbered(tile, sheet, size) for tile in tiles])


def _numbered(tile: npt.NDArray[np.uint8], sheet: ContactSheet, size: int) -> npt.NDArray[np.uint8]:
    picture = Image.fromarray(tile)
    pen = ImageDraw.Draw(picture)
    width, height = picture.width / sheet.columns, picture.height / sheet.rows
    for column in range(1, sheet.columns):
        pen.line([(round(column * width), 0), (round(column * width), picture.height)], fill=_WHITE)
    for row in range(1, sheet.rows):
        pen.line([(0, round(row * height)), (picture.width, round(row * height))], fill=_WHITE)
    numbers = [str(index + 1) for index in sheet.indices]
    widest = max(text.text_width(number, size) for number in numbers) + _MARGINS
    if widest > _LARGEST_PART * width or text.line_height(size) > _LARGEST_PART * height:
        return np.asarray(picture)
    for place, number in enumerate(numbers):
        row, column = divmod(place, sheet.columns)
        _draw_number(pen, round(column * width), round(row * height), number, size)
    return np.asarray(picture)


def _draw_number(pen: ImageDraw.ImageDraw, left: int, top: int, words: str, size: int) -> None:
    right, bottom = left + text.text_width(words, size) + _MARGINS, top + text.line_height(size) - 1
    pen.rectangle((left, top, right, bottom), fill=_BLACK)
    text.draw(pen, (left + 2, top - 1), words, size=size, color=_WHITE)
