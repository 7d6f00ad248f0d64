"""Maps at other sizes, as torch resamples them.

For means, each axis is multiplied by a matrix ``[new, old]`` of weights, unless its pixels divide evenly into blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.slices import ContactSheet

__all__ = ["area_mean", "display_maps", "linear", "nearest"]

Floats = npt.NDArray[np.float32]
# So precise that a constant map stays constant.
_Weights = npt.NDArray[np.float64]


def linear(maps: Floats, size: Sequence[int]) -> Floats:
    """Interpolate ``[N, *spatial]`` linearly to ``[N, *size]``; pixels are areas, so corners are not aligned.

    Example:
        >>> linear(np.array([[0.0, 1.0]], dtype=np.float32), [4])[0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    found: npt.NDArray[np.floating] = maps
    for axis, new in enumerate(size, start=1):
        old = found.shape[axis]
        if old != new:
            place = np.maximum((np.arange(new) + 0.5) * old / new - 0.5, 0)
            below = np.minimum(place.astype(int), old - 1)
            above = np.minimum(below + 1, old - 1)
            share = (place - below).reshape(-1, *[1] * (found.ndim - axis - 1))
            # Not by a matrix: a value that is not finite would be everywhere.
            with np.errstate(invalid="ignore"):
                found = np.take(found, below, axis) * (1 - share) + np.take(found, above, axis) * share
    return np.ascontiguousarray(found, dtype=np.float32)


def area_mean(maps: npt.NDArray[np.floating], size: Sequence[int]) -> Floats:
    """Return ``[N, *size]`` of ``[N, *spatial]``: each pixel is the mean of the area that it covers.

    Example:
        >>> area_mean(np.array([[0.0, 1.0, 2.0, 3.0]], dtype=np.float32), [2])[0].tolist()
        [0.5, 2.5]
    """
    found: npt.NDArray[np.floating] = maps
    for axis, new in enumerate(size, start=1):
        old = found.shape[axis]
        if old != new:
            found = (
                _mean_of_blocks(found, axis, new) if old % new == 0 else _weighted(found, axis, _area_weights(old, new))
            )
    return np.ascontiguousarray(found, dtype=np.float32)


def nearest(maps: Floats, size: Sequence[int]) -> Floats:
    """Resample ``[N, *spatial]`` to the nearest pixel, ``[N, *size]``.

    Example:
        >>> nearest(np.array([[0.0, 1.0]], dtype=np.float32), [3])[0].tolist()
        [0.0, 1.0, 1.0]
    """
    for axis, new in enumerate(size, start=1):
        old = maps.shape[axis]
        maps = np.take(maps, np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1), axis=axis)
    return maps


def display_maps(maps: Floats, size: tuple[int, int]) -> Floats:
    """Return finite maps ``[N, *spatial]`` at the size of the pictures of their samples, ``[N, height, width]``.

    Those of a volume become a contact sheet of its slices, as its pictures do.

    The same as :func:`saliency_callbacks.rendering.display_maps` of tensors.

    Example:
        >>> display_maps(np.array([[0.0, 1.0]], dtype=np.float32), (2, 4))[0].tolist()
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    height, width = size
    if maps.ndim == 2:
        bands = nearest(maps, [width]) if maps.shape[1] <= width else _extremes(maps, width)
        return np.repeat(bands[:, None, :], height, axis=1)
    planes = ContactSheet.of(maps.shape[1:]).arranged(maps) if maps.ndim == 4 else maps
    if planes.shape[1:] == size:
        return planes
    is_smaller = height < planes.shape[1] or width < planes.shape[2]
    return area_mean(planes, size) if is_smaller else nearest(planes, size)


def _mean_of_blocks(maps: npt.NDArray[np.floating], axis: int, new: int) -> _Weights:
    before, after = maps.shape[:axis], maps.shape[axis + 1 :]
    return np.asarray(maps.reshape(*before, new, -1, *after).mean(axis=axis + 1, dtype=np.float64))


def _weighted(maps: npt.NDArray[np.floating], axis: int, weights: _Weights) -> _Weights:
    return np.moveaxis(np.moveaxis(maps, axis, -1) @ weights.T, -1, axis)


def _area_weights(old: int, new: int) -> _Weights:
    weights = np.zeros((new, old))
    for row, (start, end) in enumerate(_windows(old, new)):
        weights[row, start:end] = 1 / (end - start)
    return weights


def _windows(old: int, new: int) -> list[tuple[int, int]]:
    return [(row * old // new, -(-(row + 1) * old // new)) for row in range(new)]


def _extremes(maps: Floats, width: int) -> Floats:
    """Shrink ``[N, P]`` to ``[N, width]``, keeping the value of largest magnitude in each column."""
    columns = [maps[:, start:end] for start, end in _windows(maps.shape[1], width)]
    highest = np.stack([column.max(axis=1) for column in columns], axis=1)
    lowest = np.stack([column.min(axis=1) for column in columns], axis=1)
    return np.where(highest >= -lowest, highest, lowest)
