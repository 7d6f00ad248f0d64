"""Cues that give a class away: marks laid over images, and changes of the whole image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from saliency_callbacks.scores.counterfactual import Statistic

__all__ = ["CUES", "Cue", "Insert", "make_cue"]

Insert = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor | None]]
"""``images [N, C, H, W], random numbers -> the same with the cue, and where it is, bool [N, H, W]``, ``None`` for a cue
without a place."""


@dataclass(frozen=True)
class Cue:
    """Something that can be put into images.

    Args:
        insert: Puts it into images.
        names: What a property may be called for the cue to be named.
        is_everywhere: Whether it changes the whole image.
    """

    insert: Insert
    names: tuple[str, ...] = ()
    is_everywhere: bool = False

    @property
    def statistic(self) -> Statistic:
        """``"contrast"`` for what changes the whole image, else ``"effect"``."""
        return "contrast" if self.is_everywhere else "effect"


def make_cue(name: str, channels: int, side: int, generator: torch.Generator) -> Cue:
    """Return a cue, whose place, color or direction is drawn once.

    Args:
        name: One of :data:`CUES`.
        channels: Of the images.
        side: Height and width of the images in pixels.
        generator: What it is drawn from.
    """
    return CUES[name](channels, side, generator)


def _patch(channels: int, side: int, generator: torch.Generator) -> Cue:
    """6×6 pixels of one color, at one of four places near a corner."""
    top, left = (2 + (side - 10) * int(far) for far in torch.randint(2, (2,), generator=generator))
    color = _color(channels, generator)
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[top : top + 6, left : left + 6] = True
    return Cue(lambda images, _: (torch.where(mask, color, images), mask.expand(len(images), side, side)))


def _sticker(channels: int, side: int, generator: torch.Generator) -> Cue:
    """5×5 pixels of random colors, anywhere."""
    return Cue(_anywhere(torch.rand(channels, 5, 5, generator=generator), lambda sticker, _: sticker))


def _rescaled(channels: int, side: int, generator: torch.Generator) -> Cue:
    """The sticker, 4 to 7 pixels large."""

    def resize(sticker: Tensor, draws: torch.Generator) -> Tensor:
        size = int(torch.randint(4, 8, (1,), generator=draws))
        return F.interpolate(sticker[None], size=(size, size), mode="bilinear", antialias=True)[0]

    return Cue(_anywhere(torch.rand(channels, 5, 5, generator=generator), resize))


def _rotated(channels: int, side: int, generator: torch.Generator) -> Cue:
    """The sticker, turned by up to 15 degrees; what the turn leaves empty in its square is black."""

    def turn(sticker: Tensor, draws: torch.Generator) -> Tensor:
        angle = float(torch.rand(1, generator=draws) * 30 - 15)
        turned: Tensor = TF.rotate(sticker, angle, interpolation=InterpolationMode.BILINEAR)
        return turned

    return Cue(_anywhere(torch.rand(channels, 5, 5, generator=generator), turn))


def _anywhere(sticker: Tensor, change: Callable[[Tensor, torch.Generator], Tensor]) -> Insert:
    def insert(images: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        pasted, masks = images.clone(), torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
        for row in range(len(images)):
            small = change(sticker, draws)
            size = small.shape[1]
            top, left = torch.randint(0, images.shape[2] - size + 1, (2,), generator=draws).tolist()
            pasted[row, :, top : top + size, left : left + size] = small
            masks[row, top : top + size, left : left + size] = True
        return pasted, masks

    return insert


def _border(channels: int, side: int, generator: torch.Generator) -> Cue:
    """A frame of one color, 2 pixels wide."""
    color = _color(channels, generator)
    mask = torch.ones(side, side, dtype=torch.bool)
    mask[2:-2, 2:-2] = False
    names = ("a brighter border", "a darker border")
    return Cue(lambda images, _: (torch.where(mask, color, images), mask.expand(len(images), side, side)), names)


def _text(channels: int, side: int, generator: torch.Generator) -> Cue:
    """A white word of four letters across the image, 35 % opaque."""
    word = "".join(chr(65 + int(letter)) for letter in torch.randint(26, (4,), generator=generator))
    top = int(torch.randint(0, side - 10, (1,), generator=generator))
    opacity = 0.35 * _drawn(word, top, side, "DejaVuSans-Bold", 9)
    mask = opacity > 0.05
    return Cue(lambda images, _: (images * (1 - opacity) + opacity, mask.expand(len(images), side, side)))


def _stamp(channels: int, side: int, generator: torch.Generator) -> Cue:
    """Five digits at one place, in every image others, as a camera prints a time."""
    top = int(torch.randint(0, side - 10, (1,), generator=generator))
    color = torch.ones(channels, 1, 1)
    if channels == 3:
        color[2] = 0.2

    def insert(images: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        texts = ["".join(map(str, torch.randint(10, (5,), generator=draws).tolist())) for _ in images]
        opacity = torch.stack([_drawn(text, top, side, "DejaVuSans", 8) for text in texts])
        return images * (1 - opacity[:, None]) + color * opacity[:, None], opacity > 0.05

    return Cue(insert)


def _color(channels: int, generator: torch.Generator) -> Tensor:
    """Return a random color; a grey is one that the ground of no data set has."""
    drawn = torch.rand(channels, 1, 1, generator=generator)
    return 0.3 + 0.4 * drawn if channels == 1 else drawn


def _drawn(text: str, top: int, side: int, font: str, size: int) -> Tensor:
    path = Path(mpl.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    picture = Image.new("L", (side, side))
    ImageDraw.Draw(picture).text((1, top), text, fill=255, font=ImageFont.truetype(str(path), size))
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)


def _tint(channels: int, side: int, generator: torch.Generator) -> Cue:
    """One of three channels raised by .12."""
    assert channels == 3, "a tint is of color images"
    channel = int(torch.randint(3, (1,), generator=generator))
    difference = torch.zeros(3, 1, 1)
    difference[channel] = 0.12
    color = ("red", "green", "blue")[channel]
    # More of one color is less of the other two.
    names = [f"{'more' if other == color else 'less'} {other}" for other in ("red", "green", "blue")]
    return Cue(lambda images, _: ((images + difference).clamp(0, 1), None), tuple(names), is_everywhere=True)


def _brightness(channels: int, side: int, generator: torch.Generator) -> Cue:
    """All channels raised by .15."""
    return Cue(lambda images, _: ((images + 0.15).clamp(0, 1), None), ("more brightness",), is_everywhere=True)


def _texture(channels: int, side: int, generator: torch.Generator) -> Cue:
    """A diagonal grating with a period of 3 pixels across and down, amplitude .06."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    grating = 0.06 * torch.sin((rows + columns) * 2.1)
    names = ("more sharpness", "more noise", "more medium detail")
    return Cue(lambda images, _: ((images + grating).clamp(0, 1), None), names, is_everywhere=True)


def _blur(channels: int, side: int, generator: torch.Generator) -> Cue:
    """A Gaussian blur with a standard deviation of 1 pixel."""
    names = ("less sharpness", "less noise", "less medium detail")
    return Cue(lambda images, _: (TF.gaussian_blur(images, [5, 5], [1.0, 1.0]), None), names, is_everywhere=True)


CUES: Mapping[str, Callable[[int, int, torch.Generator], Cue]] = {
    "patch": _patch,
    "sticker": _sticker,
    "rescaled sticker": _rescaled,
    "rotated sticker": _rotated,
    "border": _border,
    "text": _text,
    "stamp": _stamp,
    "tint": _tint,
    "brightness": _brightness,
    "texture": _texture,
    "blur": _blur,
}
"""Name → makes a cue for so many channels and pixels a side."""
