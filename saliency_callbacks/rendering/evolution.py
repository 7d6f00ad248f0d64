"""The frames of an animation: how the maps of a few samples change over the epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.colormap import DEFAULT_COLORMAP
from saliency_callbacks.rendering.contact_sheet import number_slices
from saliency_callbacks.rendering.contour import draw_contour
from saliency_callbacks.rendering.grid import Caption, TileGrid
from saliency_callbacks.rendering.legend import Heading, Style, limited_title
from saliency_callbacks.rendering.outlines.drawing import draw_marks
from saliency_callbacks.rendering.outlines.marks import Marks
from saliency_callbacks.rendering.panel import beside
from saliency_callbacks.rendering.theme import EDGE, INK
from saliency_callbacks.rendering.tiles import check_pictures, fit, tile_limit

__all__ = ["MAX_ANIMATED", "Scene", "evolution"]

MAX_ANIMATED = 16
"""Further samples are left out of an animation, and the title says so."""

_PIXEL_BUDGET = 400_000
_LARGEST_TILE = 192
_BAR_HEIGHT = 4

Scene = tuple[str, npt.NDArray[np.uint8]]
"""A moment's title, and the maps of that moment as pictures, ``uint8 [N, H, W, 3]``."""


def evolution(
    images: npt.NDArray[np.uint8],
    scenes: Sequence[Scene],
    captions: Sequence[Sequence[Caption]],
    *,
    title: str,
    regions: Sequence[npt.NDArray[np.bool_]] | None = None,
    marks: Sequence[Sequence[Marks]] | None = None,
    tile: int = 96,
    style: Style = "overlay",
    colormap: str = DEFAULT_COLORMAP,
    scale_note: str = "",
    sheet: ContactSheet | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw one frame a moment, oldest first: the maps in a grid, the moment in the title, and a bar that grows.

    Inputs are shown beside their maps where the style hides them, or each moment has its own.

    Args:
        images: Inputs as pictures, ``uint8 [N, H, W, 3]``, or others for each moment, ``[moments, N, H, W, 3]``; the
            first 16 are shown.
        scenes: Title and maps of each moment.
        captions: For each moment one for each sample.
        title: Start of each title, e.g. the method.
        regions: For each moment where the maps are highest, ``bool [N, H, W]``, which is outlined.
        marks: For each moment the boxes and masks that are drawn on its maps; inputs have what is explained alone.
        tile: Side of the square below whose area pictures are enlarged by a whole number. Where there is room, tiles
            are up to twice as large.
        style: Style of the maps.
        colormap: Color map of the maps, for the color bar.
        scale_note: What the colors are relative to, e.g. ``"one scale over all epochs"``.
        sheet: How the slices of volumes are arranged, where pictures are contact sheets.

    Returns:
        ``uint8 [frames, height, width, 3]``.

    Raises:
        InputError: If the pictures are not ``uint8 [N, H, W, 3]``, or their numbers or sizes differ.
        ConfigurationError: If there is no such style or color map.

    Example:
        >>> pictures = np.zeros((2, 28, 28, 3), dtype=np.uint8)
        >>> scenes = [("epoch 0", pictures), ("epoch 1", pictures)]
        >>> evolution(pictures, scenes, [[Caption("zero"), Caption("one")]] * 2, title="grad_cam").shape[0]
        2
    """
    given = images if images.ndim == 5 else np.broadcast_to(images, (len(scenes), *images.shape))
    _check(given, scenes, captions)
    count = min(given.shape[1], MAX_ANIMATED)
    title = limited_title(title, count, given.shape[1])
    # What changes from moment to moment has to be seen beside its map.
    shows_input = style != "overlay" or images.ndim == 5
    largest = tile_limit(count * (1 + shows_input), budget=_PIXEL_BUDGET, smallest=tile, largest=_LARGEST_TILE)
    smallest = max(tile, largest // 2)
    # The longest title and all captions settle the layout, so that nothing moves from one frame to the next.
    longest = max((moment for moment, _ in scenes), key=len)
    every_caption = [caption for each in captions for caption in each]
    frames = []
    for index, (moment, maps) in enumerate(scenes):
        tiles = fit(maps[:count], smallest=smallest, largest=largest)
        if regions is not None:
            tiles = draw_contour(tiles, regions[index][:count])
        inputs = [fit(given[index, :count], smallest=smallest, largest=largest)] if shows_input else []
        if marks is not None:
            shown_marks = [one[:count] for one in marks[index]]
            tiles = draw_marks(tiles, shown_marks)
            inputs = [draw_marks(each, [one for one in shown_marks if not one.is_found]) for each in inputs]
        size = TileGrid.of(_joined(inputs, tiles), every_caption).text_size
        tiles = _joined(inputs, number_slices(tiles, sheet, size))
        shown = captions[index][:count]
        heading = Heading(f"{title} · {moment}", style, colormap, scale_note, room_for=f"{title} · {longest}")
        picture = TileGrid.of(tiles, every_caption).draw(tiles, shown, heading)
        frames.append(_with_bar(picture, (index + 1) / len(scenes)))
    return np.stack(frames)


def _joined(inputs: Sequence[npt.NDArray[np.uint8]], maps: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return beside(inputs[0], maps) if inputs else maps


def _with_bar(picture: npt.NDArray[np.uint8], share: float) -> npt.NDArray[np.uint8]:
    """Draw how far the animation is, along the lower edge."""
    drawn = np.array(picture)
    drawn[-_BAR_HEIGHT:] = EDGE
    drawn[-_BAR_HEIGHT:, : round(share * drawn.shape[1])] = INK
    return drawn


def _check(images: npt.NDArray[np.uint8], scenes: Sequence[Scene], captions: Sequence[Sequence[Caption]]) -> None:
    size = images.shape[1:]
    if not scenes or len(captions) != len(scenes) or any(len(each) != size[0] for each in captions):
        raise InputError(
            f"got {len(scenes)} moments, {len(captions)} lists of captions and {size[0]} images; expected at least one "
            "moment, each with one caption per image"
        )
    if len(images) != len(scenes):
        raise InputError(f"Got images for {len(images)} moments of {len(scenes)}; expected some for each, or the same")
    for inputs, (moment, maps) in zip(images, scenes, strict=True):
        check_pictures(inputs, "images")
        check_pictures(maps, f"the maps of {moment!r}")
        if maps.shape != size:
            raise InputError(
                f"the maps of {moment!r} have shape {list(maps.shape)}; expected {list(size)}, like the images"
            )
