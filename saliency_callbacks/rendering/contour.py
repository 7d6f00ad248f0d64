"""The outline of the region where a map is highest, drawn on finished tiles so that it stays crisp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.errors import ConfigurationError, InputError

__all__ = ["check_contour", "draw_contour", "top_region"]

# Light on the inner and dark on the outer side: one of the two stands out of any picture and any colour map.
_INNER = 255
_OUTER = 0

# About this many cells are compared. An outline around each of thousands of single pixels could not be read.
_CELLS = 24 * 24


def check_contour(contour: float | None) -> None:
    """Raise unless ``contour`` is a share of the pixels, or ``None`` for no outline.

    Raises:
        ConfigurationError: If it is not between 0 and 1.
    """
    is_number = isinstance(contour, int | float) and not isinstance(contour, bool)
    if contour is not None and not (is_number and 0 < contour < 1):
        raise ConfigurationError(
            f"contour={contour!r}; expected the share of the pixels to outline, between 0 and 1, e.g. 0.1, or None"
        )


def top_region(heat: npt.NDArray[np.floating], share: float) -> npt.NDArray[np.bool_]:
    """Return where each map is highest: a share of its pixels.

    Maps of more than 24 × 24 places are averaged over cells of about that number first, and interpolated between them.
    Equal values are in the region all together or not at all, and the lowest value never is; so a constant map has no
    region, and one that is zero nearly everywhere a smaller one.

    Args:
        heat: ``[N, H, W]``, finite.
        share: Size of the region relative to the picture, in (0, 1).

    Returns:
        ``bool [N, H, W]``.

    Raises:
        ConfigurationError: If ``share`` is not between 0 and 1.
    """
    check_contour(share)
    values = _smoothed(torch.from_numpy(np.ascontiguousarray(heat, dtype=np.float32)))
    flat = values.flatten(1)
    wanted = max(1, round(share * flat.shape[1]))
    threshold = flat.topk(wanted, dim=1).values[:, -1:]
    at_least, above = flat >= threshold, flat > threshold
    # Ties: the closer of the two; on zeros between a few peaks, the peaks.
    excess, lack = at_least.sum(dim=1) - wanted, wanted - above.sum(dim=1)
    region = torch.where((excess <= lack)[:, None], at_least, above) & (flat > flat.amin(dim=1, keepdim=True))
    return np.asarray(region.view(values.shape).numpy())


def draw_contour(tiles: npt.NDArray[np.uint8], regions: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Draw the outline of regions, two pixels wide: light inside, dark outside. The edge of a tile is no outline.

    Args:
        tiles: ``uint8 [N, height, width, 3]``, at the size at which they are shown.
        regions: ``bool [N, H, W]``, of any size; resampled to the nearest pixel.

    Returns:
        A copy of ``tiles`` with the outlines.

    Raises:
        InputError: If there is not one region for each tile.
    """
    if len(regions) != len(tiles):
        raise InputError(f"Got {len(regions)} regions for {len(tiles)} pictures; expected one for each")
    height, width = tiles.shape[1:3]
    rows = np.arange(height) * regions.shape[1] // height
    columns = np.arange(width) * regions.shape[2] // width
    inside = regions[:, rows[:, None], columns]
    drawn = tiles.copy()
    drawn[inside & _beside(~inside)] = _INNER
    drawn[~inside & _beside(inside)] = _OUTER
    return drawn


def _beside(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels that have one of ``mask`` above, below, left or right of them."""
    found = np.zeros_like(mask)
    found[:, 1:] |= mask[:, :-1]
    found[:, :-1] |= mask[:, 1:]
    found[:, :, 1:] |= mask[:, :, :-1]
    found[:, :, :-1] |= mask[:, :, 1:]
    return found


def _smoothed(maps: Tensor) -> Tensor:
    height, width = maps.shape[1:]
    shrink = (_CELLS / (height * width)) ** 0.5
    if shrink >= 1:
        return maps
    cells = min(height, max(1, round(height * shrink))), min(width, max(1, round(width * shrink)))
    coarse = F.adaptive_avg_pool2d(maps[:, None], cells)
    return F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)[:, 0]
