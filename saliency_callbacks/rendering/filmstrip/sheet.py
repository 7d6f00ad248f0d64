"""Where everything goes on a filmstrip, and how large its text is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.legend import Heading
from saliency_callbacks.rendering.theme import DETAIL_SIZE, TextSizes

__all__ = ["GAP", "MARGIN", "Sheet", "is_cut", "name_size"]

MARGIN = 12
GAP = 4
_INPUT_GAP = 10
_WIDEST_ROW_CAPTION = 140
_LARGEST_SHARE = 0.28
# Letters are not as wide at every size.
_SLACK = 1.06
_MEASURED_SIZE = 100
_MEASURED_WIDTH = 3000
_LEAST_OF_NAMES = 0.6


@dataclass(frozen=True)
class Sheet:
    """Where everything goes; sizes in pixels."""

    tile_height: int
    tile_width: int
    rows: int
    caption_width: int
    lefts: tuple[int, ...]
    inner: int
    top: int
    sizes: TextSizes

    @classmethod
    def of(
        cls,
        batches: Sequence[npt.NDArray[np.uint8]],
        names: Sequence[str],
        captions: Sequence[Caption],
        heading: Heading,
    ) -> Sheet:
        """Return the sheet of the tiles of each column, their names, and the captions of rows."""
        rows, height, width, _ = batches[0].shape
        tiles = len(batches) * (width + GAP) - GAP + (_INPUT_GAP if len(batches) > 1 else 0)
        caption_width = _caption_width(captions, tiles, heading.narrowest)
        first = MARGIN + caption_width + (_INPUT_GAP if caption_width else 0)
        lefts = tuple(first + index * (width + GAP) + (_INPUT_GAP if index else 0) for index in range(len(batches)))
        inner = max(first - MARGIN + tiles, heading.narrowest)
        sizes = TextSizes.legible(inner + 2 * MARGIN)
        names_height = max(_name_height(name, width, sizes.caption) for name in names) + GAP
        top = MARGIN + replace(heading, sizes=sizes).height(inner) + MARGIN + names_height
        return cls(height, width, rows, caption_width, lefts, inner, top, sizes)

    @property
    def caption_size(self) -> int:
        """Size of the captions of rows: legible, but a row of low tiles gets not much higher than these."""
        return max(DETAIL_SIZE, min(self.sizes.caption, self.tile_height))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole picture."""
        return self.inner + 2 * MARGIN, self.row(self.rows) - GAP + MARGIN

    def row(self, index: int) -> int:
        """Return the upper edge of a row, which is at least as high as a line of its caption."""
        line = text.line_height(self.caption_size) if self.caption_width else 0
        return self.top + index * (max(self.tile_height, line) + GAP)


def _caption_width(captions: Sequence[Caption], tiles: int, narrowest: int) -> int:
    """Return the room for captions of rows beside ``tiles`` pixels of tiles.

    The wider the picture, the larger the text and thus its captions, so their share of the whole is what is known.
    """
    words = [part for caption in captions for part in (caption.title, caption.detail)]
    longest = max(text.text_width(text.printable(part), _MEASURED_SIZE) for part in words) / _MEASURED_SIZE
    if not longest:
        return 0
    share = min(_SLACK * longest * TextSizes.legible(_MEASURED_WIDTH).caption / _MEASURED_WIDTH, _LARGEST_SHARE)
    least = min(math.ceil(longest * DETAIL_SIZE), _WIDEST_ROW_CAPTION)
    rest = tiles + 2 * MARGIN + _INPUT_GAP
    return max(least, math.ceil(share * max(rest / (1 - share), narrowest + 2 * MARGIN)))


# All filmstrips have the same columns, and keep them from one observation to the next.
@lru_cache(maxsize=256)
def name_size(name: str, width: int, legible: int) -> int:
    """Return the size of the name of a column: smaller where one of two lines would be cut, but not by much."""
    least = max(DETAIL_SIZE, round(_LEAST_OF_NAMES * legible))
    return next((size for size in range(legible, least, -1) if not is_cut(name, size, width)), least)


def _name_height(name: str, width: int, legible: int) -> int:
    size = name_size(name, width, legible)
    return len(text.two_lines(name, size, width)) * text.line_height(size)


def is_cut(name: str, size: int, width: int) -> bool:
    """Return whether a name is cut in two lines, or touches the next one."""
    lines = text.two_lines(name, size, width)
    return any(line.endswith("…") or text.text_width(line, size) + size // 5 > width for line in lines)
