"""Colors and text sizes that all pictures share.

White paper, because a picture has to stand in light and dark dashboards, notebooks and documents alike: digits on
black and dark photographs keep their edges on it, and text keeps a contrast of at least 4.5 : 1.
"""

from __future__ import annotations

__all__ = ["DETAIL_SIZE", "EDGE", "INK", "MUTED", "PAPER", "TITLE_SIZE", "WRONG", "Color", "caption_size"]

Color = tuple[int, int, int]

PAPER = (255, 255, 255)
INK = (28, 32, 38)
MUTED = (92, 99, 110)
EDGE = (205, 210, 217)
WRONG = (200, 30, 36)

TITLE_SIZE = 17
DETAIL_SIZE = 12


def caption_size(cell_width: int) -> int:
    """Return the text size of a caption below a cell of that width; wide cells are looked at from further away.

    Example:
        >>> caption_size(120), caption_size(400)
        (12, 14)
    """
    return 14 if cell_width >= 360 else DETAIL_SIZE
