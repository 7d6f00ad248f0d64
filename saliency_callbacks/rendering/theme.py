"""Colors and text sizes that all pictures share.

White paper, because a picture has to stand in light and dark dashboards, notebooks and documents alike: digits on
black and dark photographs keep their edges on it, and text keeps a contrast of at least 4.5 : 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "DETAIL_SIZE",
    "EDGE",
    "FIXED_SIZES",
    "INK",
    "MUTED",
    "PAPER",
    "THUMBNAIL_WIDTH",
    "TITLE_SIZE",
    "WRONG",
    "Color",
    "TextSizes",
]

Color = tuple[int, int, int]

PAPER = (255, 255, 255)
INK = (28, 32, 38)
MUTED = (92, 99, 110)
EDGE = (205, 210, 217)
WRONG = (200, 30, 36)

TITLE_SIZE = 17
DETAIL_SIZE = 12

THUMBNAIL_WIDTH = 300
"""How wide TensorBoard shows a picture before it is clicked at."""

# Digits and capitals of this font are 0.73 of its size, the letter x 0.55.
_TITLE_OF_THUMBNAIL = 12.0
_CAPTION_OF_THUMBNAIL = 11.0
_LEGEND_OF_THUMBNAIL = 9.0


@dataclass(frozen=True)
class TextSizes:
    """Sizes of text in a picture, in its pixels.

    Args:
        title: What is shown.
        caption: What is said of each sample, and names of columns.
        legend: What the colors mean.
    """

    title: int = TITLE_SIZE
    caption: int = DETAIL_SIZE
    legend: int = DETAIL_SIZE

    @staticmethod
    def legible(width: int) -> TextSizes:
        """Return the sizes at which a picture of that width can be read where it is shown 300 pixels wide.

        That is how TensorBoard shows it before it is clicked at.

        Example:
            >>> TextSizes.legible(300), TextSizes.legible(1500).caption
            (TextSizes(title=17, caption=12, legend=12), 55)
        """
        share = width / THUMBNAIL_WIDTH
        return TextSizes(
            max(TITLE_SIZE, math.ceil(_TITLE_OF_THUMBNAIL * share)),
            max(DETAIL_SIZE, math.ceil(_CAPTION_OF_THUMBNAIL * share)),
            max(DETAIL_SIZE, math.ceil(_LEGEND_OF_THUMBNAIL * share)),
        )


FIXED_SIZES = TextSizes()
"""For pictures that are looked at in their own size."""
