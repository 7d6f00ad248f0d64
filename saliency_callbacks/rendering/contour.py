"""The outline of the region where a map is highest, drawn on finished tiles so that it stays crisp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.resampling import area_mean, linear
from saliency_callbacks.errors import ConfigurationError, InputError

__all__ = ["check_contour", "draw_contour", "top_region"]

# Light on the inner and dark on the outer side: one of the two stands out on any picture and any color map.
_INNER = 255
_OUTER = 0

# About this many cells are compared. An outline around each of thousands of single pixels could not be read.
_CELLS = 24 * 24


def check_contour(contour: float | None) -> None:
    """Raise unless ``contour`` is a share of the pixels, or ``None`` for no outline.

    Raises:
        ConfigurationError: If it is not between 0 and 1.

    Example:
        >>> check_contour(0.1)
    """
    is_number = isinstance(contour, int | float) and not isinstance(contour, bool)
    if contour is not None and not (is_number and 0 < contour < 1):
        raise ConfigurationError(
            f"contour={contour!r}; expected the share of the pixels to outline, between 0 and 1, e.g. 0.1, or None"
        )


def top_region(heat: npt.NDArray[np.floating], share: float) -> npt.NDArray[np.bool_]:
    """Return where each map is highest: a share of its pixels.

    Maps of more than 24 × 24 pixels are averaged to about that many cells first, and interpolated between them. Equal
    values are all in the region or all outside it, and the lowest value is never in it; so a constant map has no
    region, and one that is zero nearly everywhere has a smaller one.

    Args:
        heat: ``[N, H, W]``, finite.
        share: Size of the region relative to the picture, in (0, 1).

    Returns:
        ``bool [N, H, W]``.

    Raises:
        ConfigurationError: If ``share`` is not between 0 and 1.

    Example:
        >>> top_region(np.array([[[0.1, 0.9], [0.3, 0.2]]]), 0.25).tolist()
        [[[False, True], [False, False]]]
    """
    check_contour(share)
    values = _smoothed(heat.astype(np.float32))
    flat = values.reshape(len(values), -1)
    wanted = max(1, round(share * flat.shape[1]))
    threshold = np.partition(flat, -wanted, axis=1)[:, -wanted][:, None]
    at_least, above = flat >= threshold, flat > threshold
    # Of tied values take all or none, whichever comes closer to the share.
    excess, lack = at_least.sum(axis=1) - wanted, wanted - above.sum(axis=1)
    region = np.where((excess <= lack)[:, None], at_least, above) & (flat > flat.min(axis=1, keepdims=True))
    return np.asarray(region.reshape(values.shape))


def draw_contour(
    tiles: npt.NDArray[np.uint8], regions: npt.NDArray[np.bool_], *, is_around: bool = False
) -> npt.NDArray[np.uint8]:
    """Draw the outline of regions, two pixels wide: light inside, dark outside. The edge of a tile is no outline.

    Args:
        tiles: ``uint8 [N, height, width, 3]``, at the size at which they are shown.
        regions: ``bool [N, H, W]``, of any size; resampled to the nearest pixel.
        is_around: Whether both lines are outside, so that nothing in a small region is hidden.

    Returns:
        A copy of ``tiles`` with the outlines.

    Raises:
        InputError: If there is not one region for each tile.

    Example:
        >>> tiles, region = np.full((1, 4, 4, 3), 128, dtype=np.uint8), np.array([[[True, False], [False, False]]])
        >>> draw_contour(tiles, region)[0, :, :, 0].tolist()
        [[128, 255, 0, 128], [255, 255, 0, 128], [0, 0, 128, 128], [128, 128, 128, 128]]
    """
    if len(regions) != len(tiles):
        raise InputError(f"got {len(regions)} regions for {len(tiles)} pictures; expected one per picture")
    height, width = tiles.shape[1:3]
    rows = np.arange(height) * regions.shape[1] // height
    columns = np.arange(width) * regions.shape[2] // width
    inside = regions[:, rows[:, None], columns]
    if is_around:
        inside = inside | _beside(inside)
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


def _smoothed(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Average maps to about `_CELLS` cells and interpolate between them."""
    height, width = maps.shape[1:]
    shrink = (_CELLS / (height * width)) ** 0.5
    if shrink >= 1:
        return maps
    cells = min(height, max(1, round(height * shrink))), min(width, max(1, round(width * shrink)))
    return linear(area_mean(maps, cells), (height, width))
