"""Images in which a cue is planted, and models of which it is known what they read."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.discovery.reader import PlainReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.functional.images.blur import gaussian_blur

CLASS = 2


class Planted(NamedTuple):
    """Images with a cue in some of one class.

    Args:
        images: ``[N, C, H, W]``.
        labels: ``int64 [N]``.
        cue: ``[C, h, w]``.
        marks: Where the cue is, bool ``[N, H, W]``.
    """

    images: Tensor
    labels: Tensor
    cue: Tensor
    marks: Tensor

    @property
    def bears(self) -> Tensor:
        """Which images bear the cue."""
        return self.marks.flatten(1).any(dim=1)

    def samples(self, seed: int = 0) -> Samples:
        """Return them as they are searched."""
        return Samples(self.images, self.labels, range(len(self.labels)), seed=seed)


def scenery(n_images: int, channels: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Return smooth shapes and some noise, ``[N, C, H, W]`` in [0, 1]; the same in all classes."""
    generator = torch.Generator().manual_seed(seed)
    smooth = gaussian_blur(torch.rand(n_images, channels, *size, generator=generator), max(1, min(size) / 12))
    low, high = smooth.amin(dim=(1, 2, 3), keepdim=True), smooth.amax(dim=(1, 2, 3), keepdim=True)
    noise = torch.rand(smooth.shape, generator=generator)
    return 0.1 + 0.7 * (smooth - low) / (high - low).clamp(min=1e-6) + 0.1 * noise


def planted(
    *,
    per_class: int = 48,
    n_classes: int = 4,
    channels: int = 3,
    size: tuple[int, int] = (32, 32),
    side: int = 6,
    share: float = 0.5,
    place: tuple[int, int] | None = (3, 4),
    cue: Tensor | None = None,
    seed: int = 0,
) -> Planted:
    """Plant a cue in a share of one class: at a place, or anywhere for ``None``."""
    generator = torch.Generator().manual_seed(seed + 1)
    labels = torch.arange(per_class * n_classes) % n_classes
    images = scenery(len(labels), channels, size, seed)
    if cue is None:
        cue = (torch.rand(channels, side, side, generator=generator) > 0.5).float()
    side = cue.shape[1]
    marks = torch.zeros(len(labels), *size, dtype=torch.bool)
    bearers = (labels == min(CLASS, n_classes - 1)).nonzero()[:, 0]
    for row in bearers[: round(share * len(bearers))].tolist():
        free = torch.rand(2, generator=generator) * (torch.tensor(size) - side + 1)
        top, left = place or free.long().tolist()
        images[row, :, top : top + side, left : left + side] = cue
        marks[row, top : top + side, left : left + side] = True
    return Planted(images, labels, cue, marks)


class ReadsCue(nn.Module):
    """Votes for one class by how well a cue fits anywhere, and for the others by what else there is."""

    def __init__(self, cue: Tensor, n_classes: int = 4, *, weight: float = 6.0) -> None:
        super().__init__()
        channels, side = cue.shape[0], cue.shape[1]
        self.cue = nn.Conv2d(channels, 1, side)
        self.cue.weight.data = (cue - cue.mean())[None] / (cue - cue.mean()).norm().square()
        self.cue.bias.data.zero_()
        self.weight = weight
        self.index = min(CLASS, n_classes - 1)
        self.scenes = nn.Conv2d(channels, n_classes, 3)

    def forward(self, images: Tensor) -> Tensor:
        fit = self.cue(images).flatten(1).amax(dim=1).clamp(0, 1)
        logits = self.scenes(images).mean(dim=(2, 3))
        return logits + self.weight * (fit - 0.5).relu()[:, None] * nn.functional.one_hot(
            torch.tensor(self.index), logits.shape[1]
        )


class ReadsBrightness(nn.Module):
    """Votes for one class by how bright an image is."""

    def __init__(self, n_classes: int = 4, *, sign: float = 1.0) -> None:
        super().__init__()
        self.scenes = nn.Conv2d(3, n_classes, 3)
        self.sign = sign

    def forward(self, images: Tensor) -> Tensor:
        own = nn.functional.one_hot(torch.tensor(CLASS), self.scenes.out_channels)
        scenes = self.scenes(images - images.mean(dim=(1, 2, 3), keepdim=True)).std(dim=(2, 3))
        return scenes + self.sign * 9 * images.mean(dim=(1, 2, 3))[:, None] * own


def reader(model: nn.Module) -> PlainReader:
    """Return what asks a model."""
    return PlainReader(model, None, Settings(methods=()))
