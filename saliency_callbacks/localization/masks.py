"""Maps → masks, by a threshold or by a GraphCut of the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.resampling import area_mean, nearest
from saliency_callbacks.localization.settings import Localization

__all__ = ["above_otsu", "above_share", "grabcut", "seeds"]

_Mask = npt.NDArray[np.bool_]
_Heat = npt.NDArray[np.float32]
_LEVELS = 255
# The coefficients of a mixture of five Gaussians: a weight, a mean and a covariance of colors each.
_MODEL = (1, 5 * (1 + 3 + 9))


def above_share(heat: _Heat, share: float) -> _Mask:
    """Return where a map is at least a share of its maximum."""
    return np.asarray(heat >= share * heat.max())


def above_otsu(heat: _Heat, cv2: Any) -> _Mask:
    """Return where a map is above the threshold that tells its values best apart, of 256 levels."""
    levels = np.round(heat / heat.max() * _LEVELS).astype(np.uint8).reshape(1, -1)
    _, found = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(found.reshape(heat.shape) > 0)


def seeds(heat: _Heat, foreground: float, background: float) -> tuple[_Mask, _Mask]:
    """Return where a map is so high, and so low, that the object and the background are there.

    What ties with a quantile is beyond it, as a map that is zero on half of the picture has no lower values; zeros are
    never the object.
    """
    low, high = np.quantile(heat, (background, foreground))
    is_object = (heat >= high) & (heat > heat.min())
    return np.asarray(is_object), np.asarray((heat <= low) & ~is_object)


def grabcut(heat: _Heat, picture: npt.NDArray[np.uint8], how: Localization, cv2: Any) -> _Mask:
    """Return the object in a picture, by a GraphCut from the seeds of its map.

    Args:
        heat: ``[H, W]``, not constant.
        picture: ``uint8 [H, W, 3]``.
        how: Quantiles of the seeds, and the size to which a larger picture is reduced.
        cv2: OpenCV.
    """
    size = heat.shape
    factor = min(1.0, how.longest_side / max(size))
    height, width = (max(1, round(side * factor)) for side in size)
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) if factor < 1 else picture
    is_object, is_background = seeds(area_mean(heat[None], (height, width))[0], how.foreground, how.background)
    labels = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    labels[is_object], labels[is_background] = cv2.GC_FGD, cv2.GC_BGD
    if not is_object.any() or not is_background.any():
        return np.zeros(size, np.bool_)
    _cut(np.ascontiguousarray(small), labels, cv2)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return np.asarray(nearest(found[None].astype(np.float32), size)[0] > 0)


def _cut(picture: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], cv2: Any) -> None:
    """Decide which of the probable labels are the object, in place."""
    background, foreground = np.zeros(_MODEL), np.zeros(_MODEL)
    known = np.isin(labels, (cv2.GC_FGD, cv2.GC_BGD))
    # The colors are learned from the seeds alone, which stand in a column.
    seeds_only = np.ascontiguousarray(picture[known][:, None]), labels[known][:, None].copy()
    # What is found in a map does not depend on the maps before it.
    cv2.setRNGSeed(0)
    cv2.grabCut(*seeds_only, None, background, foreground, 0, cv2.GC_INIT_WITH_MASK)
    cv2.grabCut(picture, labels, None, background, foreground, 1, cv2.GC_EVAL_FREEZE_MODEL)
