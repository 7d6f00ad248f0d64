"""The sticker that gives a class away: a round badge with a star."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from saliency_callbacks.probe import ImageCue

__all__ = ["STICKER"]

_BOX = (2, 2, 10, 10)
_ZOOM = 16
_POINTS = 5


def _draw_badge(side: int) -> Image.Image:
    """Return a blue disc with a white rim and a yellow star, transparent around it."""
    badge = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(badge)
    pen.ellipse((0, 0, side - 1, side - 1), fill="white")
    rim = 0.09 * side
    pen.ellipse((rim, rim, side - 1 - rim, side - 1 - rim), fill="mediumblue")
    # Tips and notches take turns.
    corners = [
        (radius * math.sin(angle), -radius * math.cos(angle))
        for index in range(2 * _POINTS)
        for radius, angle in [((0.17 if index % 2 else 0.4) * side, index * math.pi / _POINTS)]
    ]
    pen.polygon([(side / 2 + x, side / 2 + y) for x, y in corners], fill="gold")
    return badge


STICKER = ImageCue(
    np.asarray(_draw_badge(_ZOOM * _BOX[2]).resize(_BOX[2:], Image.Resampling.BOX)), _BOX, name="sticker"
)
