"""Which slices of a volume are seen together, where each stands, and what it is called.

A volume is cut across its first spatial axis. What is shown of it in one picture is a contact sheet: evenly spaced
slices, row by row. Without gaps, so that a sheet of maps may be resampled to the size of a sheet of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SHEET_SLICES", "ContactSheet", "axis_name", "evenly_spaced", "slice_name", "slice_noun"]

SHEET_SLICES = 4
"""Slices on a contact sheet; of more, evenly spaced ones are taken.

So few that each can be told from the others where a picture of many samples is shown 300 pixels wide.
"""

_OF_TIME = ("time", "t", "frame", "frames")
_EMPTY_COST = 0.3


@dataclass(frozen=True)
class ContactSheet:
    """Evenly spaced slices of a volume, arranged row by row.

    Args:
        indices: The slices, counted from 0.
        columns: Slices in a row.
        count: Slices of the volume.

    Example:
        >>> sheet = ContactSheet.of((32, 64, 64))
        >>> sheet.indices, sheet.columns
        ((4, 12, 20, 28), 2)
    """

    indices: tuple[int, ...]
    columns: int
    count: int

    @staticmethod
    def of(spatial: Sequence[int]) -> ContactSheet:
        """Return the sheet of a volume of that size; nearly square."""
        count, height, width = spatial
        indices = evenly_spaced(count, SHEET_SLICES)
        return ContactSheet(indices, _columns(len(indices), height, width), count)

    @property
    def rows(self) -> int:
        """Number of rows; the last may have empty places."""
        return -(-len(self.indices) // self.columns)

    def arranged(self, volumes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return sheets ``[N, rows · H, columns · W, …]`` of volumes ``[N, D, H, W, …]``."""
        chosen = volumes[:, list(self.indices)]
        number, _, height, width, *rest = chosen.shape
        places = self.rows * self.columns
        padded = np.zeros((number, places, height, width, *rest), chosen.dtype)
        padded[:, : len(self.indices)] = chosen
        grid = padded.reshape(number, self.rows, self.columns, height, width, *rest).swapaxes(2, 3)
        return np.ascontiguousarray(grid.reshape(number, self.rows * height, self.columns * width, *rest))


def evenly_spaced(count: int, most: int) -> tuple[int, ...]:
    """Return at most ``most`` indices below ``count``, each in the middle of an equal part.

    Example:
        >>> evenly_spaced(2, 9), evenly_spaced(200, 3)
        ((0, 1), (33, 100, 166))
    """
    shown = min(count, most)
    return tuple((2 * place + 1) * count // (2 * shown) for place in range(shown))


def slice_noun(names: Sequence[str] | None) -> str:
    """Return ``"frame"`` where the first axis is said to be time, else ``"slice"``.

    Example:
        >>> slice_noun(("time", "height", "width")), slice_noun(None)
        ('frame', 'slice')
    """
    return "frame" if names is not None and names[0].lower() in _OF_TIME else "slice"


def slice_name(index: int, count: int, names: Sequence[str] | None = None) -> str:
    """Return what a slice is called, counted from 1.

    Example:
        >>> slice_name(11, 32)
        'slice 12 of 32'
    """
    return f"{slice_noun(names)} {index + 1} of {count}"


def axis_name(axis: int, names: Sequence[str] | None = None) -> str:
    """Return what a spatial axis, counted from 0, is called.

    Example:
        >>> axis_name(0), axis_name(0, ("depth", "height", "width"))
        ('axis 0', 'axis 0 (depth)')
    """
    return f"axis {axis}" if names is None else f"axis {axis} ({names[axis]})"


def _columns(count: int, height: int, width: int) -> int:
    """Return the number of columns whose sheet is closest to a square and has few empty places."""

    def cost(columns: int) -> float:
        rows = -(-count // columns)
        return abs(math.log(columns * width / (rows * height))) + (columns * rows - count) * _EMPTY_COST

    return min(range(1, count + 1), key=cost)
