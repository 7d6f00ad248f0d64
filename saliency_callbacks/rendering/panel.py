"""One picture of a whole probe batch: every input beside its map, with a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering.colormap import DEFAULT_COLORMAP
from saliency_callbacks.rendering.contact_sheet import number_slices
from saliency_callbacks.rendering.contour import draw_contour
from saliency_callbacks.rendering.grid import Caption, TileGrid
from saliency_callbacks.rendering.legend import Heading, Style, limited_title
from saliency_callbacks.rendering.outlines.drawing import draw_marks
from saliency_callbacks.rendering.outlines.marks import Marks
from saliency_callbacks.rendering.tiles import check_pictures, fit, tile_limit

__all__ = ["LARGEST_SHEET", "LARGEST_TILE", "MAX_SAMPLES", "Caption", "beside", "panel"]

MAX_SAMPLES = 64
"""Further samples are left out of a panel, and the title says so."""

_PAIR_GAP = 2
_WIDE = 1.8

LARGEST_TILE = 256
"""Side of the square above whose area a picture is reduced in any panel."""

LARGEST_SHEET = 480
"""The same of contact sheets."""


@dataclass(frozen=True)
class _Sizes:
    """Sides of square tiles, and the pixels that all of them together may have."""

    budget: int = 800_000
    smallest: int = 112
    largest: int = LARGEST_TILE


_SIZES_OF_SHEETS = _Sizes(budget=2_400_000, smallest=168, largest=LARGEST_SHEET)


def panel(
    images: npt.NDArray[np.uint8],
    rendered: npt.NDArray[np.uint8],
    captions: Sequence[Caption],
    *,
    title: str,
    columns: int | None = None,
    regions: npt.NDArray[np.bool_] | None = None,
    marks: Sequence[Marks] = (),
    min_tile: int = 112,
    style: Style = "overlay",
    colormap: str = DEFAULT_COLORMAP,
    scale_note: str = "",
    room_for: str = "",
    sheet: ContactSheet | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw inputs and their maps side by side, in a grid.

    Wide pictures stand above their maps instead. Tiles shrink as the number of samples grows, so that a panel stays
    at a few megapixels; of more than 64 samples the first 64 are shown.

    Args:
        images: Inputs as pictures, ``uint8 [N, H, W, 3]``.
        rendered: Maps as pictures, ``uint8 [N, H, W, 3]``.
        captions: One for each sample.
        title: Line at the top, e.g. method, moment and layer.
        columns: Number of cells in a row; chosen for a pleasant aspect by default.
        regions: Where each map is highest, ``bool [N, H, W]``, which is outlined; from `top_region`.
        marks: Boxes and masks that are drawn on inputs and maps.
        min_tile: Side of the square below whose area pictures are enlarged by a whole number.
        style: Style of the maps, for the color bar.
        colormap: Color map of the maps, for the color bar.
        scale_note: What the colors are relative to, e.g. ``"shared scale"``.
        room_for: A title for which there has to be room, so that pictures with other titles are of the same size.
        sheet: How the slices of volumes are arranged, where pictures are contact sheets; these are drawn larger.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If the pictures are not ``uint8 [N, H, W, 3]``, or their numbers or sizes differ.
        ConfigurationError: If there is no such style or color map, or ``columns`` is not positive.

    Example:
        >>> pictures = np.zeros((2, 28, 28, 3), dtype=np.uint8)
        >>> captions = [Caption("zero", "pred 6 · 0.81", wrong=True), Caption("one", "pred 1 · 0.97")]
        >>> picture = panel(pictures, pictures, captions, title="grad_cam · epoch 3")
        >>> picture.dtype, picture.ndim
        (dtype('uint8'), 3)
    """
    _check(images, rendered, captions, columns)
    count = min(len(images), MAX_SAMPLES)
    sizes = _Sizes() if sheet is None else _SIZES_OF_SHEETS
    largest = tile_limit(2 * count, budget=sizes.budget, smallest=sizes.smallest, largest=sizes.largest)
    smallest = max(min_tile, sizes.smallest)
    inputs, maps = (fit(batch[:count], smallest=smallest, largest=largest) for batch in (images, rendered))
    if regions is not None:
        maps = draw_contour(maps, regions[:count])
    inputs, maps = (draw_marks(tiles, [one[:count] for one in marks]) for tiles in (inputs, maps))
    grid = TileGrid.of(beside(inputs, maps), captions[:count], columns)
    pairs = beside(number_slices(inputs, sheet, grid.text_size), maps)
    heading = Heading(limited_title(title, count, len(images)), style, colormap, scale_note, room_for)
    return grid.draw(pairs, captions[:count], heading)


def _check(
    images: npt.NDArray[np.uint8],
    rendered: npt.NDArray[np.uint8],
    captions: Sequence[Caption],
    columns: int | None,
) -> None:
    check_pictures(images, "images")
    check_pictures(rendered, "rendered")
    if rendered.shape != images.shape or len(captions) != len(images):
        raise InputError(
            f"got images {list(images.shape)}, rendered {list(rendered.shape)} and {len(captions)} captions; expected "
            "pictures of equal shape, with one caption each"
        )
    if columns is not None and columns < 1:
        raise ConfigurationError(f"columns={columns}; expected a positive number, or None to choose it automatically")


def beside(images: npt.NDArray[np.uint8], rendered: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Join inputs and maps side by side, or one above the other where they are wide.

    Example:
        >>> square, wide = np.zeros((1, 4, 4, 3), dtype=np.uint8), np.zeros((1, 4, 8, 3), dtype=np.uint8)
        >>> beside(square, square).shape, beside(wide, wide).shape
        ((1, 4, 10, 3), (1, 10, 8, 3))
    """
    count, height, width, _ = images.shape
    stacked = width > _WIDE * height
    gap_shape = (count, _PAIR_GAP, width, 3) if stacked else (count, height, _PAIR_GAP, 3)
    gap = np.full(gap_shape, 255, dtype=np.uint8)
    return np.concatenate([images, gap, rendered], axis=1 if stacked else 2)
