"""Lines around boxes and masks, which are seen on any picture and told apart without color.

What is explained has a solid line of a blue that no map is drawn in, with a dark one outside. What was found in a map
has a dashed one, black and white in turns: short dashes around a mask, long ones around a box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.outlines.marks import Marks

__all__ = ["draw_marks"]

_BLUE, _WHITE, _BLACK = (64, 196, 255), (255, 255, 255), (0, 0, 0)
# A line is so wide that it is seen where a picture is shown 300 pixels wide, and hides little.
_PIXELS_OF_LINE, _PIXELS_OF_DASHES = 80, 120
_THINNEST_SOLID = 2
# Of masks, whose mode is "edge", and of boxes, so that the two of one map are told apart.
_DASH = {"edge": 4, "constant": 12}

_Mask = npt.NDArray[np.bool_]
_Tiles = npt.NDArray[np.uint8]


def draw_marks(tiles: _Tiles, marks: Sequence[Marks]) -> _Tiles:
    """Draw boxes and masks; what is found above what is explained.

    The edge of a tile is no outline of a mask. It is one of a box, which is drawn within the tile as far as it reaches.

    Args:
        tiles: ``uint8 [N, height, width, 3]``, at the size at which they are shown.
        marks: What is drawn, each with an entry for every tile.

    Returns:
        A copy of ``tiles`` with the lines; ``tiles`` themselves where there is nothing to draw.

    Raises:
        InputError: If marks have not one entry for each tile.

    Example:
        >>> tiles = np.full((1, 8, 8, 3), 128, dtype=np.uint8)
        >>> drawn = draw_marks(tiles, [Marks(boxes=np.array([[0.25, 0.25, 0.5, 0.5]]))])
        >>> drawn[0, :5, :5, 2].tolist()
        [[128, 128, 128, 128, 128],
         [128, 128, 0, 0, 128],
         [128, 0, 255, 255, 0],
         [128, 0, 255, 255, 0],
         [128, 128, 0, 0, 128]]
    """
    if not marks:
        return tiles
    drawn = tiles.copy()
    for one in sorted(marks, key=lambda each: each.is_found):
        for part in (one.regions, one.boxes):
            if part is not None and len(part) != len(tiles):
                raise InputError(f"got {len(part)} outlines for {len(tiles)} pictures; expected one per picture")
        for place, tile in enumerate(drawn):
            if one.regions is not None:
                _outline(tile, _at_size(one.regions[place], tile.shape[:2]), is_found=one.is_found, mode="edge")
            if one.boxes is not None:
                _outline(tile, _filled(one.boxes[place], tile.shape[:2]), is_found=one.is_found, mode="constant")
    return drawn


def _outline(tile: _Tiles, inside: _Mask, *, is_found: bool, mode: str) -> None:
    """Draw the outline of a region into a tile; ``mode`` says what is beyond the tile, as for ``numpy.pad``."""
    if not inside.any():
        return
    side = min(inside.shape)
    width = max(1, round(side / _PIXELS_OF_DASHES)) if is_found else max(_THINNEST_SOLID, round(side / _PIXELS_OF_LINE))
    padded = np.pad(inside, width + 1, mode=mode)  # type: ignore[call-overload]
    within = slice(width + 1, -(width + 1))
    line = (padded & _near(~padded, width))[within, within]
    if is_found:
        rows, columns = np.indices(inside.shape)
        # Neither the rows, the columns nor the diagonals have it the same, so that no such line is of one color.
        is_light = (rows + 2 * columns) // (_DASH[mode] * width) % 2 == 0
        tile[line & is_light], tile[line & ~is_light] = _WHITE, _BLACK
        return
    tile[_near(inside, 1) & ~inside] = _BLACK
    tile[line] = _BLUE


def _near(mask: _Mask, distance: int) -> _Mask:
    """Return the pixels of a mask, and those at most so far above, below, left or right of them."""
    found = mask.copy()
    for _ in range(distance):
        before = found.copy()
        found[1:] |= before[:-1]
        found[:-1] |= before[1:]
        found[:, 1:] |= before[:, :-1]
        found[:, :-1] |= before[:, 1:]
    return found


def _at_size(region: _Mask, size: Sequence[int]) -> _Mask:
    rows, columns = (np.arange(new) * old // new for old, new in zip(region.shape, size, strict=True))
    return np.asarray(region[rows[:, None], columns])


def _filled(box: npt.NDArray[np.floating], size: Sequence[int]) -> _Mask:
    """Return the pixels of a box that is given in shares of a tile; none for a box that is NaN, or beyond the tile."""
    inside = np.zeros(tuple(size), np.bool_)
    if not np.isfinite(box).all():
        return inside
    height, width = size
    left, top, right, bottom = box * (width, height, width, height)
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return inside
    first_row, first_column = max(0, round(top)), max(0, round(left))
    # However small it is, there is a pixel of it.
    first_row, first_column = min(first_row, height - 1), min(first_column, width - 1)
    last_row, last_column = max(first_row + 1, round(bottom)), max(first_column + 1, round(right))
    inside[first_row:last_row, first_column:last_column] = True
    return inside
