"""Pictures as PNG files, and animations as GIF files."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from saliency_callbacks.types import Picture

__all__ = ["encode_gif", "encode_png", "is_animation"]

_FASTEST_PNG = 1
_HELD = 4
_MOST_MILLISECONDS, _FEWEST_MILLISECONDS, _ROUND = 500, 120, 10_000
_SAMPLED_PIXELS = 2_000_000


def encode_png(picture: Picture) -> bytes:
    """Return a ``uint8 [height, width, 3]`` picture as a PNG file.

    Compressed at the fastest level: for photographs the default level takes several times as long, while the training
    waits, and saves about a tenth of the file size.
    """
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG", compress_level=_FASTEST_PNG)
    return content.getvalue()


def is_animation(picture: Picture) -> bool:
    """Return whether a picture has frames, ``[frames, height, width, 3]``."""
    return bool(picture.ndim == 4)


def encode_gif(picture: Picture, *, milliseconds: int | None = None) -> bytes:
    """Return a ``uint8 [frames, height, width, 3]`` animation as a GIF file that plays forever.

    All frames share one palette of 256 colors, and there is no dithering: a pixel that does not change from one frame
    to the next has the same color in the file. A palette per frame or dithering would make still regions flicker.
    The palette minimizes the largest error of any pixel, not the mean: colored frames and captions are few pixels
    next to a photograph. On panels that error was 16 to 22 of 255 levels; with other palettes 39 to 182.

    Args:
        picture: The frames.
        milliseconds: How long each frame is shown, a multiple of 10; the last one is shown four times as long, so that
            the end of the animation can be seen. By default half a second, and less where there are many frames.
    """
    if milliseconds is None:
        milliseconds = min(_MOST_MILLISECONDS, max(_FEWEST_MILLISECONDS, _ROUND // len(picture) // 10 * 10))
    palette = _shared_palette(picture)
    frames = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in picture]
    durations = [milliseconds] * (len(frames) - 1) + [milliseconds * _HELD]
    content = io.BytesIO()
    frames[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        optimize=False,
    )
    return content.getvalue()


def _shared_palette(picture: npt.NDArray[np.uint8]) -> Image.Image:
    """Return an image whose palette fits the colors of all frames."""
    pixels = picture.reshape(-1, 3)
    # Long animations have far more pixels than colors. An odd stride samples other columns in each row.
    sample = np.ascontiguousarray(pixels[:: len(pixels) // _SAMPLED_PIXELS | 1])
    return Image.fromarray(sample[np.newaxis]).quantize(256, method=Image.Quantize.MAXCOVERAGE)
