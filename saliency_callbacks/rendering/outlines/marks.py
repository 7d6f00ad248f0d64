"""What is drawn around on tiles of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Marks", "marks_note"]


@dataclass(frozen=True, eq=False)
class Marks:
    """The outlines of a batch, relative to its tiles.

    Args:
        boxes: Corners ``(x0, y0, x1, y1)`` as shares of width and height, ``[N, 4]``; NaN where there is none.
        regions: Which part of each picture belongs to it, ``bool [N, H, W]``; of any size.
        is_found: Whether it was found in a map, and is dashed; else it is what is explained.

    Example:
        >>> marks = Marks(boxes=np.array([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 1.0, 1.0]]))
        >>> marks[:1].boxes
        array([[0. , 0. , 0.5, 0.5]])
    """

    boxes: npt.NDArray[np.floating] | None = None
    regions: npt.NDArray[np.bool_] | None = None
    is_found: bool = False

    def __getitem__(self, rows: slice) -> Marks:
        """Return those of some samples."""
        boxes = None if self.boxes is None else self.boxes[rows]
        return Marks(boxes, None if self.regions is None else self.regions[rows], self.is_found)


def marks_note(marks: Sequence[Marks]) -> str:
    """Return what the lines stand for, in the words of a legend.

    Example:
        >>> marks_note([Marks(), Marks(is_found=True)])
        'blue: target · dashed: found in map'
    """
    kinds = [("blue: target", False), ("dashed: found in map", True)]
    return " · ".join(words for words, is_found in kinds if any(one.is_found is is_found for one in marks))
