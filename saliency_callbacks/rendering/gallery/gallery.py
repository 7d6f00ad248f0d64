"""What a suspected shortcut looks like: samples with it, without it, and others before and after it is put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.contour import draw_contour
from saliency_callbacks.rendering.gallery.blocks import (
    COLUMNS,
    FRAME,
    GAP,
    Block,
    GalleryPair,
    Head,
    Line,
    Pairs,
    Tiles,
)
from saliency_callbacks.rendering.theme import PAPER
from saliency_callbacks.rendering.tiles import check_pictures, fit

__all__ = ["Gallery", "draw_gallery"]

_MARGIN = 16
_BLOCK_GAP = 18
_SMALLEST, _LARGEST, _LONGEST = 120, 224, 320
_NARROWEST = 560


@dataclass(frozen=True, eq=False)
class Gallery:
    """The samples behind a suspicion about one class; all pictures are ``uint8 [N, H, W, 3]`` of one size.

    Args:
        title: First line, e.g. ``"the same 36 pixels · used by the network"``.
        caption: What was found, in plain words.
        class_name: The suspect class.
        bearing: Samples of it with the cue; at least one.
        lacking: Samples of it without the cue; may be empty.
        before: Samples of other classes.
        after: The same with the cue.
        pairs: What is written below each of these.
        marks: Where ``bearing`` has the cue, ``bool [N, H, W]``; ``None`` where it has no place.
        changed: Where ``after`` differs from ``before``, likewise.
        cue: The cue alone, ``uint8 [h, w, 3]``; ``None`` where it cannot be shown.

    Raises:
        InputError: If pictures, marks and captions do not fit each other.

    Example:
        >>> grey = np.full((2, 8, 8, 3), 99, dtype=np.uint8)
        >>> pairs = [GalleryPair("3", ("3", "4"), (-1.0, 0.5)), GalleryPair("7", ("7", "7"), (-2.0, -1.0))]
        >>> gallery = Gallery("the same 9 pixels", "in 50% of class 4", "4", grey, grey[:0], grey, grey, pairs)
        >>> draw_gallery(gallery).dtype
        dtype('uint8')
    """

    title: str
    caption: str
    class_name: str
    bearing: npt.NDArray[np.uint8]
    lacking: npt.NDArray[np.uint8]
    before: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint8]
    pairs: Sequence[GalleryPair]
    marks: npt.NDArray[np.bool_] | None = None
    changed: npt.NDArray[np.bool_] | None = None
    cue: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        check_pictures(self.bearing, "bearing")
        for name in ("lacking", "before", "after"):
            given = getattr(self, name)
            if given.dtype != np.uint8 or given.shape[1:] != self.bearing.shape[1:]:
                raise InputError(
                    f"{name} is {given.dtype} {list(given.shape)}; expected uint8 [N, {self.bearing.shape[1]}, "
                    f"{self.bearing.shape[2]}, 3], the same size as bearing"
                )
        if not len(self.before) == len(self.after) == len(self.pairs):
            raise InputError(
                f"got {len(self.before)} pictures before, {len(self.after)} after and {len(self.pairs)} captions; "
                "expected one of each per sample"
            )
        for name, pictures in (("marks", self.bearing), ("changed", self.after)):
            region = getattr(self, name)
            if region is not None and (region.dtype != np.bool_ or region.shape != pictures.shape[:3]):
                raise InputError(
                    f"{name} is {region.dtype} {list(region.shape)}; expected bool {list(pictures.shape[:3])}"
                )


def draw_gallery(gallery: Gallery) -> npt.NDArray[np.uint8]:
    """Draw a gallery: a title, a caption with the cue beside it, and the samples below.

    Small pictures are enlarged by repeating pixels. An outline shows where the samples bear the cue, and where it was
    put; what then goes to the suspect class is framed in red.

    Args:
        gallery: What is drawn.

    Returns:
        ``uint8 [height, width, 3]``.
    """
    blocks: list[Block] = [Head(gallery.title, gallery.caption, gallery.cue), *_sections(gallery)]
    tile_width = _fitted(gallery.bearing).shape[2] + 2 * FRAME
    columns = 2 if max(len(gallery.bearing), len(gallery.lacking), 2 * len(gallery.pairs)) <= 2 else COLUMNS
    width = max(_NARROWEST, columns * (tile_width + GAP) - GAP)
    height = sum(block.height(width) + _BLOCK_GAP for block in blocks) - _BLOCK_GAP
    canvas = Image.new("RGB", (width + 2 * _MARGIN, height + 2 * _MARGIN), PAPER)
    top = _MARGIN
    for block in blocks:
        block.draw(canvas, _MARGIN, top, width)
        top += block.height(width) + _BLOCK_GAP
    return np.asarray(canvas)


def _sections(gallery: Gallery) -> list[Block]:
    name = gallery.class_name
    outlined = "" if gallery.marks is None else "outlined"
    sections: list[Block] = [
        Tiles(f"Class {name} with the cue", outlined, _outlined(_fitted(gallery.bearing), gallery.marks))
    ]
    if len(gallery.lacking):
        sections.append(Tiles(f"Class {name} without the cue", "", _fitted(gallery.lacking)))
    else:
        sections.append(Line(f"No image of class {name} clearly lacks the cue."))
    if len(gallery.pairs):
        after = _outlined(_fitted(gallery.after), gallery.changed)
        sections.append(Pairs(name, _fitted(gallery.before), after, gallery.pairs))
    return sections


def _fitted(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return fit(pictures, smallest=_SMALLEST, largest=_LARGEST, longest_side=_LONGEST)


def _outlined(tiles: npt.NDArray[np.uint8], regions: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.uint8]:
    return tiles if regions is None else draw_contour(tiles, regions, is_around=True)
