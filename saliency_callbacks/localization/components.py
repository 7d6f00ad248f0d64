"""Connected parts of a mask of one to three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["largest_component", "without_holes"]

_BY_EDGES = 4


def largest_component(mask: npt.NDArray[np.bool_], cv2: Any) -> npt.NDArray[np.bool_]:
    """Return the largest part of a mask whose positions are connected by edges, or by faces; the first of equal ones.

    Args:
        mask: ``bool [*spatial]`` with one to three dimensions.
        cv2: OpenCV.
    """
    planes = mask.reshape(-1, *mask.shape[-2:]) if mask.ndim > 1 else mask.reshape(1, 1, -1)
    labels = np.zeros(planes.shape, np.int64)
    count = 0
    for place, plane in enumerate(planes):
        n_labels, found = cv2.connectedComponents(plane.astype(np.uint8), connectivity=_BY_EDGES)
        labels[place] = np.where(plane, found + count, 0)
        count += n_labels - 1
    if count < 1:
        return mask
    labels = _joined(labels, count)
    sizes = np.bincount(labels.reshape(-1))
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax()).reshape(mask.shape)


def without_holes(mask: npt.NDArray[np.bool_], cv2: Any) -> npt.NDArray[np.bool_]:
    """Return a mask ``bool [H, W]`` with all that it encloses: what is not connected with the border by edges."""
    _, labels = cv2.connectedComponents(np.pad(~mask, 1, constant_values=True).astype(np.uint8), connectivity=_BY_EDGES)
    return np.asarray(mask | (labels != labels[0, 0])[1:-1, 1:-1])


def _joined(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Return labels ``[D, H, W]`` of the planes of a volume such that parts that touch in the next plane have one."""
    touch = (labels[:-1] > 0) & (labels[1:] > 0)
    above, below = labels[:-1][touch], labels[1:][touch]
    root = np.arange(count + 1)
    while not np.array_equal(root[above], root[below]):
        lowest = np.minimum(root[above], root[below])
        np.minimum.at(root, above, lowest)
        np.minimum.at(root, below, lowest)
    return root[labels]
