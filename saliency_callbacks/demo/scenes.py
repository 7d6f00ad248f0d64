"""Pictures of digits: set in real fonts, colored, slightly turned, on pieces of photographs.

All that they are made of lies on the disk already: the fonts are those of Matplotlib, the photographs those that
scikit-image carries in its package.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["SIDE", "load_digit_scenes"]

SIDE = 48
"""Height and width in pixels."""

_ZOOM = 3
"""Digits are drawn larger by this factor and then reduced, so that their edges are smooth at any angle."""

_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique", "STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta"),
    *("cmb10", "cmr10", "cmss10", "cmtt10", "cmti10"),
)
_PHOTOGRAPHS = ("astronaut", "cat", "coffee", "hubble_deep_field", "immunohistochemistry", "rocket")
_TINTED = {"brick": "sienna", "coins": "slategrey", "grass": "olivedrab", "gravel": "tan"}
"""Photographs in grey, and what their middle grey becomes."""
_SMALLEST_CROP, _LARGEST_CROP = 72, 300
_HEIGHTS = (26, 38)
_LARGEST_ANGLE = 10
_MARGIN = 2
_N_COLORS = 12
_CLEAR = 0.35
"""A color is clear before what is behind it if their brightness differs by that much."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness."""

_Pixels = npt.NDArray[np.float32]


def load_digit_scenes(seed: int, count: int = 2000) -> tuple[Tensor, Tensor]:
    """Return pictures of digits ``[count, 3, SIDE, SIDE]`` in [0, 1], and their labels; the same for the same seed.

    The ten digits are equally frequent, in random order. Nothing but the digit itself depends on the label.

    Args:
        seed: Of everything that is random: font, size, place, angle and color of a digit, and what is behind it.
        count: Number of pictures.

    Raises:
        ConfigurationError: If scikit-image is not installed.
    """
    random = np.random.default_rng(seed)
    photographs = _load_photographs()
    labels = random.permutation(np.arange(count) % 10)
    scenes = [_draw(str(label), photographs[random.integers(len(photographs))], random) for label in labels]
    return torch.from_numpy(np.stack(scenes)).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


def _load_photographs() -> list[Image.Image]:
    try:
        data: Any = import_module("skimage.data")  # an extra
    except ImportError as error:
        raise ConfigurationError(
            "the demo needs the photographs of scikit-image, which is not installed. Install it with: pip install "
            "'saliency-callbacks[examples]'"
        ) from error
    colored = [Image.fromarray(getattr(data, name)()) for name in _PHOTOGRAPHS]
    grey = {name: Image.fromarray(getattr(data, name)()) for name in _TINTED}
    colored += [ImageOps.colorize(grey[name], "black", "white", _TINTED[name]) for name in _TINTED]
    motorcycle, _, _ = data.stereo_motorcycle()
    return [*colored, Image.fromarray(motorcycle)]


def _draw(digit: str, photograph: Image.Image, random: np.random.Generator) -> _Pixels:
    """Return one picture ``[SIDE, SIDE, 3]`` in [0, 1]."""
    background = _pixels(_crop(photograph, random))
    shape = _shape(digit, random)
    ink = _clear_color(background, shape, random)
    # A soft edge of the opposite brightness, as subtitles have, keeps thin strokes legible on busy ground.
    edge = 0.0 if _brightness(ink) > 0.5 else 1.0
    halo = 0.5 * _pixels(Image.fromarray((255 * shape).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5)))
    halo, opacity = halo[..., None], shape[..., None]
    shaded = background * (1 - halo) + edge * halo
    scene: _Pixels = shaded * (1 - opacity) + ink * opacity
    return scene


def _crop(photograph: Image.Image, random: np.random.Generator) -> Image.Image:
    """Cut a square of random size and place out of a photograph, and mirror every other one."""
    largest = min(_LARGEST_CROP, *photograph.size)
    # Sizes are drawn on a logarithmic scale, on which near and far are equally frequent.
    side = float(np.exp(random.uniform(np.log(_SMALLEST_CROP), np.log(largest))))
    left, top = (random.uniform(0, length - side) for length in photograph.size)
    crop = photograph.resize((SIDE, SIDE), Image.Resampling.BOX, box=(left, top, left + side, top + side))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else crop


def _shape(digit: str, random: np.random.Generator) -> _Pixels:
    """Return how much of every pixel a digit covers, ``[SIDE, SIDE]``; it lies inside the picture as a whole."""
    path = Path(mpl.get_data_path(), "fonts", "ttf", f"{_FONTS[random.integers(len(_FONTS))]}.ttf")
    font = ImageFont.truetype(str(path), 100, layout_engine=ImageFont.Layout.BASIC)
    _, top, _, bottom = font.getbbox(digit)
    height = _ZOOM * random.uniform(*_HEIGHTS)
    font = font.font_variant(size=100 * height / (bottom - top))
    large = Image.new("L", (_ZOOM * SIDE, _ZOOM * SIDE))
    ImageDraw.Draw(large).text((large.width / 2, large.height / 2), digit, fill=255, font=font, anchor="mm")
    turned = large.rotate(random.uniform(-_LARGEST_ANGLE, _LARGEST_ANGLE), Image.Resampling.BILINEAR)
    box = turned.getbbox()
    assert box is not None, "every font has the ten digits"
    first, last = _ZOOM * _MARGIN, _ZOOM * (SIDE - _MARGIN)
    lengths = box[2] - box[0], box[3] - box[1]
    left, upper = (int(random.integers(first, max(last - length, first) + 1)) for length in lengths)
    placed = Image.new("L", large.size)
    placed.paste(turned.crop(box), (left, upper))
    return _pixels(placed.resize((SIDE, SIDE), Image.Resampling.BOX))


def _clear_color(background: _Pixels, shape: _Pixels, random: np.random.Generator) -> _Pixels:
    """Return of some random colors the first that is clear before what is behind the digit, else the clearest."""
    behind = _brightness(background[shape > 0.5])
    clearest, best = None, -1.0
    for _ in range(_N_COLORS):
        hue, saturation, value = random.random(), random.uniform(0.4, 1), random.uniform(0.25, 1)
        color = np.array(hsv_to_rgb(hue, saturation, value), dtype=np.float32)
        clarity = float((np.abs(behind - _brightness(color)) > _CLEAR).mean())
        if clarity > best:
            clearest, best = color, clarity
        if clarity > 0.9:
            break
    assert clearest is not None
    return clearest


def _brightness(colors: _Pixels) -> _Pixels:
    return np.asarray(colors @ _LUMA, dtype=np.float32)


def _pixels(picture: object) -> _Pixels:
    return np.asarray(picture, dtype=np.float32) / np.float32(255)
