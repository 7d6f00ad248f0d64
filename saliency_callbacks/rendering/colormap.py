"""Maps → colors, through lookup tables of 256 entries.

Every function takes a batch and returns ``uint8 [N, H, W, 3]``. Values that are not finite count as zero
(NaN) or as the end of the range (±∞), so they never reach a picture.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from saliency_callbacks.errors import ConfigurationError, nearest_names

__all__ = [
    "DEFAULT_ALPHA",
    "DEFAULT_COLORMAP",
    "GROUND",
    "apply",
    "greyscale",
    "ground",
    "overlay",
    "overlay_table",
    "signed",
    "signed_color",
]

Entry = TypeVar("Entry", bound=np.generic)

DEFAULT_COLORMAP = "auto"
"""The bright part of ``inferno`` over a dimmed grey picture for overlays, ``inferno`` for maps on their own."""

# Grows in lightness throughout, so that a map cannot be misread, in grayscale print or without red and green either.
_HEATMAP_COLORMAP = "inferno"
# An overlay begins with a bright red: dark purple would pass for a shadow.
_FIRST_OF_OVERLAY = 0.55
GROUND = (30, 101, 10)
"""How much red, green and blue add to a grey picture that heat is laid over, in 1/256: 0.55 of their luma (BT.709).

So it is no brighter than heat, and has no color that could be taken for it.
"""

DEFAULT_ALPHA = 0.85

# Below 1 so that the flanks of a map stay visible on dark pictures; at 0.5 faint noise already veils the picture.
_OPACITY_EXPONENT = 0.7

# Blue - white - red; an odd number of entries, so that zero is exactly white.
_DIVERGING_STOPS = (-1.0, -0.55, 0.0, 0.55, 1.0)
_DIVERGING_COLORS = ((16, 52, 150), (98, 142, 224), (255, 255, 255), (240, 104, 86), (158, 8, 30))
_DIVERGING_HALF = 127


def apply(maps: npt.NDArray[np.floating], name: str = DEFAULT_COLORMAP) -> npt.NDArray[np.uint8]:
    """Color maps in [0, 1] with a Matplotlib color map.

    Args:
        maps: ``[N, H, W]``, clipped to [0, 1].
        name: Name of a Matplotlib color map; ``auto`` is ``inferno``.

    Returns:
        ``uint8 [N, H, W, 3]``.

    Raises:
        ConfigurationError: If no color map has that name.

    Example:
        >>> apply(np.array([[[0.0, 1.0]]]), "gray").tolist()
        [[[[0, 0, 0], [255, 255, 255]]]]
    """
    return _look_up(_table(_HEATMAP_COLORMAP if name == DEFAULT_COLORMAP else name), _entries(maps))


def greyscale(maps: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Show maps ``[N, H, W]`` in [0, 1] from black to white, as ``uint8 [N, H, W, 3]``.

    Example:
        >>> greyscale(np.array([[[0.0, 0.5, 1.0]]]))[0, 0].tolist()
        [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    """
    grey = (_clipped(maps) * 255 + 0.5).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def overlay(
    images: npt.NDArray[np.uint8],
    heat: npt.NDArray[np.floating],
    *,
    colormap: str = DEFAULT_COLORMAP,
    alpha: float = DEFAULT_ALPHA,
) -> npt.NDArray[np.uint8]:
    """Lay colored heat over pictures; the opacity is ``alpha · heat^0.7``.

    By default the picture is turned grey and dimmed, so that the brightest is where the map is largest, for people who
    do not tell red from green, and in grayscale print. With a color map of your choice, such as ``rainbow``, it keeps
    its colors, and where the heat is 0 it is left exactly as it is.

    Args:
        images: ``uint8 [N, H, W, 3]``.
        heat: ``[N, H, W]``, clipped to [0, 1].
        colormap: Name of a Matplotlib color map; ``auto`` is the bright part of ``inferno``, over grey.
        alpha: Opacity at the map maximum, in [0, 1].

    Returns:
        ``uint8 [N, H, W, 3]``.

    Raises:
        ConfigurationError: If no color map has that name, or ``alpha`` is outside [0, 1].

    Example:
        >>> picture = np.full((1, 1, 2, 3), 200, dtype=np.uint8)
        >>> overlay(picture, np.array([[[0.0, 1.0]]]), alpha=1.0)[0, 0].tolist()
        [[110, 110, 110], [252, 254, 164]]
        >>> overlay(picture, np.array([[[0.0, 1.0]]]), alpha=1.0, colormap="rainbow")[0, 0].tolist()
        [[200, 200, 200], [255, 0, 0]]
    """
    if colormap == DEFAULT_COLORMAP:
        images = ground(images)
    keep, paint = _blend_tables(colormap, alpha)
    entries = _entries(heat)
    blended = images * _look_up(keep, entries)
    blended += _look_up(paint, entries)
    blended >>= 8
    return blended.astype(np.uint8)


def ground(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return pictures as heat is laid over by default: grey, and dimmed to 0.55 of their brightness.

    Args:
        images: ``uint8 [N, H, W, 3]``.

    Example:
        >>> ground(np.array([[[[255, 255, 255], [255, 0, 0]]]], dtype=np.uint8))[0, 0].tolist()
        [[140, 140, 140], [29, 29, 29]]
    """
    # Three products of whole channels: NumPy has no fast product of matrices of integers.
    red, green, blue = (images[..., channel] * np.uint16(share) for channel, share in enumerate(GROUND))
    grey = (red + green + blue >> 8).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def signed(values: npt.NDArray[np.floating], scale: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Show signed values: red positive, blue negative, white zero.

    Args:
        values: ``[N, H, W]``.
        scale: ``[N]``, the absolute value that gets the full color; where it is not positive all is white.

    Returns:
        ``uint8 [N, H, W, 3]``.

    Example:
        >>> signed(np.array([[[-1.0, 0.0, 1.0]]]), np.ones(1))[0, 0].tolist()
        [[16, 52, 150], [255, 255, 255], [158, 8, 30]]
    """
    unit = _unit(values, scale)
    unit *= _DIVERGING_HALF
    unit += _DIVERGING_HALF + 0.5
    return _look_up(_diverging_table(), unit.astype(np.uint8))


def signed_color(values: npt.NDArray[np.floating], scale: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Show signed values channel by channel as RGB; grey is zero.

    The color rendering of class saliency maps. One channel is repeated; with neither 1 nor 3 channels
    there is no such color, and the channel sum is shown by `signed`.

    Args:
        values: ``[N, C, H, W]``.
        scale: ``[N]``, the absolute value that gets the full color; where it is not positive all is grey.

    Returns:
        ``uint8 [N, H, W, 3]``.

    Reference:
        Simonyan et al., arXiv:1312.6034, section 3.

    Example:
        >>> signed_color(np.array([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1), np.ones(1))[0, 0].tolist()
        [[255, 128, 1]]
    """
    channels = values.shape[1]
    if channels not in (1, 3):
        return signed(values.sum(axis=1), scale)
    unit = _unit(values, scale)
    unit *= 127
    unit += 128.5
    levels = np.moveaxis(unit.astype(np.uint8), 1, -1)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:-1], 3)))


def overlay_table(colormap: str = DEFAULT_COLORMAP) -> npt.NDArray[np.uint8]:
    """Return the colors of an `overlay` without its opacity, from low to high, ``uint8 [256, 3]``.

    Raises:
        ConfigurationError: If no color map has that name.

    Example:
        >>> overlay_table("rainbow")[-1].tolist()
        [255, 0, 0]
    """
    return _table(_HEATMAP_COLORMAP, _FIRST_OF_OVERLAY) if colormap == DEFAULT_COLORMAP else _table(colormap)


def _finite(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    limit = float(np.finfo(np.float32).max)
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=limit, neginf=-limit)


def _clipped(maps: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return maps in [0, 1]; NaN becomes 0, which is what `fmax` makes of it."""
    unit = np.fmax(maps.astype(np.float32, copy=False), 0)
    return np.fmin(unit, 1, out=unit)


def _entries(maps: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    unit = _clipped(maps)
    unit *= 256
    return np.minimum(unit, 255, out=unit).astype(np.uint8)


def _unit(values: npt.NDArray[np.floating], scale: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return ``values / scale`` in [-1, 1], one scale a sample; zero where the scale is not positive."""
    per_sample = _finite(scale).reshape(-1, *[1] * (values.ndim - 1))
    divisor = np.where(per_sample > 0, per_sample, np.float32(np.inf))
    return np.clip(_finite(values) / divisor, -1, 1)


def _look_up(table: npt.NDArray[Entry], entries: npt.NDArray[np.uint8]) -> npt.NDArray[Entry]:
    return np.take(table, entries, axis=0)


@lru_cache(maxsize=64)
def _table(name: str, first: float = 0.0) -> npt.NDArray[np.uint8]:
    if name not in mpl.colormaps:
        message = f"unknown colormap {name!r}; expected the name of a Matplotlib colormap: "
        raise ConfigurationError(message + nearest_names(name, list(mpl.colormaps)))
    # Through [0, 1] rather than by index: a color map need not have 256 colors of its own.
    colors = mpl.colormaps[name](np.linspace(first, 1, 256), bytes=True)
    return _constant(np.asarray(colors, dtype=np.uint8)[:, :3])


@lru_cache(maxsize=64)
def _blend_tables(colormap: str, alpha: float) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Return the weight of the picture ``[256, 1]`` and the paint that is added ``[256, 3]``, in 1/256."""
    if not 0 <= alpha <= 1:
        raise ConfigurationError(f"alpha is {alpha}; expected an opacity between 0 and 1, e.g. {DEFAULT_ALPHA}")
    opacity = np.round(alpha * np.linspace(0, 1, 256) ** _OPACITY_EXPONENT * 256)[:, None]
    # The largest sum is 255 · 256 + 128, which still fits into 16 bits.
    paint = opacity * overlay_table(colormap) + 128
    return _constant((256 - opacity).astype(np.uint16)), _constant(paint.astype(np.uint16))


@lru_cache(maxsize=1)
def _diverging_table() -> npt.NDArray[np.uint8]:
    levels = np.linspace(-1, 1, 2 * _DIVERGING_HALF + 1)
    colors = np.array(_DIVERGING_COLORS, dtype=float)
    channels = [np.interp(levels, _DIVERGING_STOPS, colors[:, channel]) for channel in range(3)]
    return _constant(np.round(np.stack(channels, axis=-1)).astype(np.uint8))


def _constant(table: npt.NDArray[Entry]) -> npt.NDArray[Entry]:
    table.flags.writeable = False
    return table
