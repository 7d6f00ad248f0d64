"""What makes copies inexact: compression, noise, another brightness, random crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

__all__ = ["SPOILERS"]

_CROP = 28


def _jpeg(images: Tensor, draws: torch.Generator) -> Tensor:
    """Compress every image as JPEG of quality 75."""
    return torch.stack([_recoded(image) for image in images])


def _recoded(image: Tensor) -> Tensor:
    pixels = (255 * image.permute(1, 2, 0)).round().to(torch.uint8).numpy()
    file = BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(file, "JPEG", quality=75)
    read = np.asarray(Image.open(file), dtype=np.float32) / 255
    return torch.from_numpy(read.reshape(pixels.shape)).permute(2, 0, 1)


def _noise(images: Tensor, draws: torch.Generator) -> Tensor:
    """Add noise of standard deviation .02 to every image."""
    return (images + 0.02 * torch.randn(images.shape, generator=draws)).clamp(0, 1)


def _brightness(images: Tensor, draws: torch.Generator) -> Tensor:
    """Multiply every image by a number from .9 to 1.1."""
    return (images * (0.9 + 0.2 * torch.rand(len(images), 1, 1, 1, generator=draws))).clamp(0, 1)


def _crop(images: Tensor, draws: torch.Generator) -> Tensor:
    """Cut 28×28 pixels out of every image at random, and enlarge them again."""
    side = images.shape[2]
    corners = torch.randint(0, side - _CROP + 1, (len(images), 2), generator=draws).tolist()
    cut = torch.stack(
        [image[:, top : top + _CROP, left : left + _CROP] for image, (top, left) in zip(images, corners, strict=True)]
    )
    return F.interpolate(cut, size=(side, side), mode="bilinear", antialias=True)


SPOILERS: Mapping[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "JPEG 75": _jpeg,
    "noise .02": _noise,
    "brightness ±10 %": _brightness,
    "random crops": _crop,
}
"""Name → ``images, random numbers -> spoiled images``."""
