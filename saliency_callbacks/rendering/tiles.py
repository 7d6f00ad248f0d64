"""Pictures of any size → tiles of a bounded size.

Small pictures are enlarged by repeating pixels, a whole number of times, so that no pixel is invented; large ones
are reduced by averaging.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from saliency_callbacks.errors import InputError

__all__ = ["check_pictures", "fit", "reduce_area", "reduce_side", "tile_limit"]

_LARGEST_ASPECT = 16


def tile_limit(tiles: int, *, budget: int, smallest: int, largest: int) -> int:
    """Return the side of the square tiles of which that many fit into a budget of pixels, within two bounds.

    Example:
        >>> tile_limit(4, budget=40_000, smallest=32, largest=256)
        100
    """
    return max(smallest, min(largest, math.isqrt(budget // max(tiles, 1))))


def fit(
    pictures: npt.NDArray[np.uint8], *, smallest: int, largest: int, longest_side: int = 768
) -> npt.NDArray[np.uint8]:
    """Bring the area of pictures between that of two squares, and keep their aspect.

    A strip thinner than 1 : 16 is thickened by repeating its pixels across, since it could not be seen otherwise.

    Args:
        pictures: ``uint8 [N, H, W, 3]``.
        smallest: Side of the square below whose area pictures are enlarged.
        largest: Side of the square above whose area pictures are reduced.
        longest_side: Largest height or width, which comes before ``smallest``.

    Returns:
        ``uint8 [N, height, width, 3]``.

    Example:
        >>> fit(np.zeros((1, 8, 8, 3), dtype=np.uint8), smallest=30, largest=100).shape
        (1, 32, 32, 3)
    """
    pictures = _thicken(pictures, longest_side)
    height, width = pictures.shape[1:3]
    side = math.sqrt(height * width)
    factor = min(math.ceil(smallest / side), longest_side // max(height, width))
    if factor > 1:
        # Columns first: then the larger of the two copies whole rows.
        return pictures.repeat(factor, axis=2).repeat(factor, axis=1)
    return _shrunk(pictures, min(largest / side, longest_side / max(height, width)))


def reduce_area(pictures: npt.NDArray[np.uint8], *, largest: int) -> npt.NDArray[np.uint8]:
    """Reduce pictures whose area is above that of a square, and keep their aspect.

    Args:
        pictures: ``uint8 [N, H, W, 3]``.
        largest: Side of the square.

    Returns:
        ``uint8 [N, height, width, 3]``; ``pictures`` itself where they are small enough.

    Example:
        >>> reduce_area(np.zeros((1, 80, 20, 3), dtype=np.uint8), largest=20).shape
        (1, 40, 10, 3)
    """
    return _shrunk(pictures, largest / math.sqrt(pictures.shape[1] * pictures.shape[2]))


def reduce_side(pictures: npt.NDArray[np.uint8], *, longest: int) -> npt.NDArray[np.uint8]:
    """Reduce pictures of which a side is too long, and keep their aspect.

    Args:
        pictures: ``uint8 [N, H, W, 3]``.
        longest: Largest height or width.

    Returns:
        ``uint8 [N, height, width, 3]``; ``pictures`` itself where they are small enough.

    Example:
        >>> reduce_side(np.zeros((1, 80, 20, 3), dtype=np.uint8), longest=40).shape
        (1, 40, 10, 3)
    """
    return _shrunk(pictures, longest / max(pictures.shape[1:3]))


def check_pictures(pictures: npt.NDArray[np.uint8], name: str) -> None:
    """Raise unless ``pictures`` is a batch of RGB pictures.

    Raises:
        InputError: If the array is not ``uint8 [N, H, W, 3]`` with at least one picture.

    Example:
        >>> check_pictures(np.zeros((2, 8, 8, 3), dtype=np.uint8), "images")
    """
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3 or 0 in pictures.shape:
        raise InputError(
            f"{name} is {pictures.dtype} {list(pictures.shape)}; expected uint8 [N, H, W, 3] with at least one picture"
        )


def _thicken(pictures: npt.NDArray[np.uint8], longest_side: int) -> npt.NDArray[np.uint8]:
    height, width = pictures.shape[1:3]
    if max(height, width) <= _LARGEST_ASPECT * min(height, width):
        return pictures
    # Reduced along first: thickening a strip of a million pixels would need a million times as many.
    pictures = _reduce(pictures, min(height, longest_side), min(width, longest_side))
    height, width = pictures.shape[1:3]
    times = math.ceil(max(height, width) / (_LARGEST_ASPECT * min(height, width)))
    return pictures.repeat(times, axis=1 if height < width else 2)


def _shrunk(pictures: npt.NDArray[np.uint8], factor: float) -> npt.NDArray[np.uint8]:
    if factor >= 1:
        return pictures
    height, width = pictures.shape[1:3]
    return _reduce(pictures, max(1, round(height * factor)), max(1, round(width * factor)))


def _reduce(pictures: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    if pictures.shape[1:3] == (height, width):
        return pictures
    resized = (Image.fromarray(one).resize((width, height), Image.Resampling.BOX) for one in pictures)
    return np.stack([np.asarray(one) for one in resized])
