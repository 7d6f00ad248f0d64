"""Pictures as PNG files."""

from __future__ import annotations

import io

from PIL import Image

from saliency_callbacks.types import Picture

__all__ = ["encode_png"]

_FASTEST = 1


def encode_png(picture: Picture) -> bytes:
    """Return a ``uint8 [height, width, 3]`` picture as a PNG file.

    Compressed at the fastest level: over photographs the default takes several times as long, while the training
    waits, for files that are about a tenth smaller.
    """
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG", compress_level=_FASTEST)
    return content.getvalue()
