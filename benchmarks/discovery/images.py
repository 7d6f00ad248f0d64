"""The images of the benchmark: digits, letters in many fonts, and colored digits on photographs; 32×32."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.demo.scenes import load_digit_scenes

__all__ = ["DATA_SETS", "FONTS", "SIDE", "chosen_classes", "load", "number_of"]

SIDE = 32
"""Height and width in pixels."""

_LETTERS = "ABDEFHKLMRTX"
_A_CLASS = 96
_ZOOM = 4
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique", "DejaVuSansMono"),
    *("DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta", "STIXGeneralItalic"),
    *("cmb10", "cmr10", "cmss10", "cmtt10", "cmti10"),
)
"""Fonts that Matplotlib ships and that have every capital letter."""


def load(name: str, row: str, number: int) -> tuple[Tensor, Tensor]:
    """Return the images ``[N, C, 32, 32]`` in [0, 1] of one run, and their labels.

    Letters and scenes are drawn anew for every run. Of scikit-learn's 1,797 digits, runs 2n and 2n + 1 get the two
    halves of one random split, so that these two share no image.

    Args:
        name: One of :data:`DATA_SETS`.
        row: Which experiment.
        number: Which run of it.
    """
    return DATA_SETS[name](row, number)


def number_of(*parts: object) -> int:
    """Return a seed that only these parts decide."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def chosen_classes(images: Tensor, labels: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Keep a few of the classes, at random, and renumber them."""
    kept = torch.randperm(int(labels.max()) + 1, generator=torch.Generator().manual_seed(seed))[:count].sort().values
    rows = torch.isin(labels, kept)
    return images[rows], torch.searchsorted(kept, labels[rows])


def _digits(row: str, number: int) -> tuple[Tensor, Tensor]:
    pixels, labels = load_digits(return_X_y=True)
    small = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    images = F.interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    seed = number_of("digits", row, number // 2)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    half = order[number % 2 :: 2]
    return images[half], torch.tensor(labels)[half]


def _letters(row: str, number: int) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(number_of("letters", row, number))
    labels = random.permutation(np.arange(_A_CLASS * len(_LETTERS)) % len(_LETTERS))
    pictures = np.stack([_letter(_LETTERS[label], random) for label in labels])
    return torch.from_numpy(pictures)[:, None], torch.from_numpy(labels)


def _letter(letter: str, random: np.random.Generator) -> np.ndarray:
    """Return one letter, dark on light, ``[32, 32]`` in [0, 1]."""
    path = Path(mpl.get_data_path(), "fonts", "ttf", f"{FONTS[random.integers(len(FONTS))]}.ttf")
    font = ImageFont.truetype(str(path), _ZOOM * random.uniform(18, 27), layout_engine=ImageFont.Layout.BASIC)
    side = _ZOOM * SIDE
    at = side / 2 + _ZOOM * random.uniform(-3, 3, size=2)
    large = Image.new("L", (side, side))
    ImageDraw.Draw(large).text(tuple(at), letter, fill=255, font=font, anchor="mm")
    slant = random.uniform(-0.2, 0.2)
    slanted = large.transform(
        (side, side), Image.Transform.AFFINE, (1, slant, -slant * at[1], 0, 1, 0), Image.Resampling.BILINEAR
    )
    ink = np.asarray(slanted.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32) / 255
    dark, light = random.uniform(0.0, 0.25), random.uniform(0.75, 0.95)
    grain = random.normal(0, 0.015, size=ink.shape)
    return (light + (dark - light) * ink + grain).clip(0, 1).astype(np.float32)


def _scenes(row: str, number: int) -> tuple[Tensor, Tensor]:
    images, labels = load_digit_scenes(number_of("scenes", row, number), 10 * _A_CLASS)
    return F.interpolate(images, size=(SIDE, SIDE), mode="area"), labels


DATA_SETS: Mapping[str, Callable[[str, int], tuple[Tensor, Tensor]]] = {
    "digits": _digits,
    "letters": _letters,
    "scenes": _scenes,
}
"""Name → the images of a run."""
