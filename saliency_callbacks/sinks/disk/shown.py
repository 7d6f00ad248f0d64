"""Stored maps as they are shown, and the few numbers of each that a page needs before any map is looked at.

Beside the maps of a method there are ``{method}/shown/{name}``, one for each field of :class:`Scales`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.resampling import area_mean, display_maps, linear
from saliency_callbacks.arrays.scales import Extremes, finite, full_color
from saliency_callbacks.sinks.disk.array_file import Array
from saliency_callbacks.sinks.disk.entries import MethodEntry

__all__ = [
    "LONGEST_SIDE",
    "REDUCTIONS",
    "SCALE_NAMES",
    "Maps",
    "Plane",
    "Scales",
    "magnitude_of",
    "shown_maps",
    "shrink",
    "volume_maps",
]

LONGEST_SIDE = 256
"""Largest height or width at which a map is shown."""

Floats = npt.NDArray[np.float32]

# The format owns these definitions: what an old file means must not change with the package's mathematics.
REDUCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "abs_max": lambda values: np.abs(values).max(axis=1),
    "positive_max": lambda values: np.maximum(values, 0).max(axis=1),
    "l2": lambda values: np.sqrt(np.square(values).sum(axis=1)),
    "abs_sum": lambda values: np.abs(values).sum(axis=1),
    "sum": lambda values: np.abs(values.sum(axis=1)),
}


@dataclass(frozen=True, eq=False)
class Scales:
    """What is known of the maps of one method without looking at them.

    Args:
        peak: Largest absolute value of each map ``[N]``.
        full: The value that gets the full color if each map has its own scale ``[N]``.
        degenerate: Which maps show nothing ``[N]``.
        signed: Which maps have a negative value ``[N]``.
    """

    peak: Floats
    full: Floats
    degenerate: npt.NDArray[np.bool_]
    signed: npt.NDArray[np.bool_]


SCALE_NAMES = tuple(field.name for field in fields(Scales))


@dataclass(frozen=True)
class Plane:
    """One slice of volumes.

    Args:
        axis: The spatial axis across which it cuts.
        index: Which of the slices along it, from 0.
        count: How many there are.
    """

    axis: int
    index: int
    count: int


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one method in one observation, as they are shown.

    Args:
        cells: Relative to ``peak``: ``float16 [N, h, w]``, in [0, 1] for pictures; in [-1, 1] and ``[N, 1, W]`` for
            text inputs; ``[N, slices, h, w]`` for volumes.
        peak, full, degenerate: As in :class:`Scales`; of volumes they are those of all slices.
    """

    cells: npt.NDArray[np.float16]
    peak: Floats
    full: Floats
    degenerate: npt.NDArray[np.bool_]

    @property
    def scales(self) -> Scales:
        """The same without the maps."""
        signed = np.asarray((self.cells < 0).reshape(len(self.cells), -1).any(axis=1))
        return Scales(self.peak, self.full, self.degenerate, signed)

    @property
    def is_sliced(self) -> bool:
        """Whether they are maps of volumes, or of slices of these."""
        return self.cells.ndim == 4

    def cut(self, *planes: Plane) -> Maps:
        """Return slices of the maps of volumes, ``[N, slices, h, w]``.

        Maps that are coarser than their volume are interpolated between the two nearest of their cells.
        """
        return replace(self, cells=np.stack([self._slice(plane) for plane in planes], axis=1))

    def _slice(self, plane: Plane) -> npt.NDArray[np.float16]:
        axis = 1 + plane.axis
        cells = self.cells.shape[axis]
        place = min(max((plane.index + 0.5) * cells / plane.count - 0.5, 0.0), cells - 1.0)
        below = int(place)
        first: npt.NDArray[np.float16] = np.take(self.cells, below, axis)
        if place == below:
            return first
        share = np.float32(place - below)
        second = np.take(self.cells, below + 1, axis).astype(np.float32)
        return np.asarray(first * (1 - share) + second * share, dtype=np.float16)


def magnitude_of(values: Array, facts: MethodEntry) -> Floats:
    """Return the magnitude ``[N, *size]`` that values ``[N, C, *spatial]`` give."""
    assert facts["reduction"] is not None, "otherwise the magnitude is stored"
    return linear(REDUCTIONS[facts["reduction"]](_single(values)), facts["size"])


def shown_maps(
    values: Array, magnitude: Array, facts: MethodEntry, picture_width: int | None, longest_side: int
) -> Maps:
    """Return the maps of one method as they are shown.

    Args:
        values: As stored, ``[N, C, *spatial]``.
        magnitude: ``[N, *spatial]``.
        facts: What the index says of the method.
        picture_width: That of the samples' pictures; ``None`` for text inputs.
        longest_side: Largest height or width of maps of pictures; larger ones are shrunk as by :func:`shrink`. Maps of
            volumes keep their size, since slices are cut first.
    """
    heat = _single(magnitude)
    extremes = Extremes.of(heat)
    shows_nothing = extremes.degenerate
    if picture_width is None:
        words = finite(_single(values).sum(axis=1, keepdims=True))
        return _relative(words, Extremes.of(words).largest, words, shows_nothing)
    if not extremes.finite.all():
        heat = finite(heat)
        extremes = Extremes.of(heat)
    reduction = facts["reduction"]
    if heat.ndim >= 3 and reduction is not None and values.shape[2:] != heat.shape[1:]:
        # A class activation map is kept at the layer's size; it is interpolated as the magnitude was when it is drawn.
        small = finite(REDUCTIONS[reduction](_single(values)))
        return _relative(small, Extremes.of(small).largest, heat, shows_nothing, longest_side)
    if heat.ndim == 2:
        heat = display_maps(heat, (1, picture_width))
    return _relative(heat, extremes.largest, heat, shows_nothing, longest_side)


def volume_maps(values: Array, facts: MethodEntry, scales: Scales) -> Maps:
    """Return the maps of volumes whose scales are known: millions of values need not be sorted, or interpolated.

    Args:
        values: As stored, ``[N, C, D, H, W]``.
        facts: What the index says of the method.
        scales: What is stored beside them.
    """
    assert facts["reduction"] is not None, "otherwise the magnitude is stored"
    cells = finite(REDUCTIONS[facts["reduction"]](_single(values)))
    return Maps(
        (cells / _divisor(scales.peak, cells.ndim)).astype(np.float16), scales.peak, scales.full, scales.degenerate
    )


def shrink(maps: Maps, longest_side: int) -> Maps:
    """Return maps of at most ``longest_side`` cells per side; each cell is the mean of the area that it covers.

    All slices of volumes stay.
    """
    *above, height, width = maps.cells.shape
    size = _size_within(longest_side, height, width)
    if size == (height, width):
        return maps
    cells = area_mean(maps.cells.reshape(-1, height, width), size).reshape(*above, *size)
    if maps.is_sliced:
        # The scale is that of a whole volume, of which these may be a part.
        return replace(maps, cells=cells.astype(np.float16))
    return _shrunk(cells, maps.peak, maps.degenerate)


def _relative(
    maps: Floats,
    peak: Floats,
    graded: Floats,
    shows_nothing: npt.NDArray[np.bool_],
    longest_side: int | None = None,
) -> Maps:
    """Return maps relative to their peak, with the full colors of ``graded`` unless they are shrunk."""
    divisor = _divisor(peak, maps.ndim)
    if longest_side is not None:
        *_, height, width = maps.shape
        size = _size_within(longest_side, height, width)
        if maps.ndim == 3 and size != (height, width):
            # One at a time, so that what is thrown away stays in the processor's cache.
            relative = ((one / by).astype(np.float16) for one, by in zip(maps[:, None], divisor, strict=True))
            return _shrunk(np.concatenate([area_mean(one, size) for one in relative]), peak, shows_nothing)
    return Maps((maps / divisor).astype(np.float16), peak, full_color(graded), shows_nothing)


def _shrunk(cells: Floats, peak: Floats, shows_nothing: npt.NDArray[np.bool_]) -> Maps:
    # A fine map fades in the mean, so its full color is taken from the shrunk map.
    return Maps(cells.astype(np.float16), peak, full_color(cells) * peak, shows_nothing)


def _size_within(longest_side: int, height: int, width: int) -> tuple[int, int]:
    factor = min(1.0, longest_side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _divisor(peak: Floats, dimensions: int) -> Floats:
    return np.where(peak > 0, peak, np.float32(1)).reshape(-1, *[1] * (dimensions - 1))


def _single(values: Array) -> Floats:
    return values.astype(np.float32, copy=False)
