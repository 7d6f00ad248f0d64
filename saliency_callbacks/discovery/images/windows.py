"""Windows that a class may have in common: where its images are looked at, where they stand out, and some at random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Windows",
    "fine_detail",
    "likely_windows",
    "merged",
    "neighbors",
    "promise",
    "sensitivity",
    "window_sizes",
]

_SHARES = (1 / 8, 3 / 16, 1 / 4)
"""Sides of windows, as shares of the shorter side of the image."""

_SMOOTHING = 0.1
_N_RANDOM = 1


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one size.

    Args:
        image: Position of the image that each is from, ``int64 [T]``.
        top: First row, ``int64 [T]``.
        left: First column.
        side: Height and width in pixels.
    """

    image: Tensor
    top: Tensor
    left: Tensor
    side: int

    def pixels(self, images: Tensor) -> Tensor:
        """Return what is in them, ``[T, C, side, side]``, of images ``[N, C, H, W]``."""
        steps = torch.arange(self.side)
        rows = (self.top[:, None] + steps)[:, None, :, None]
        columns = (self.left[:, None] + steps)[:, None, None, :]
        channels = torch.arange(images.shape[1])[:, None, None]
        return images[self.image[:, None, None, None], channels, rows, columns]


def window_sizes(height: int, width: int) -> tuple[int, ...]:
    """Return the sides of windows for images of a size, in pixels.

    Example:
        >>> window_sizes(32, 32)
        (4, 6, 8)
    """
    shorter = min(height, width)
    return tuple(sorted({min(shorter, max(2, round(share * shorter))) for share in _SHARES}))


def sensitivity(gradients: Tensor, images: Tensor) -> Tensor:
    r"""Return where decisions look, :math:`s = \sum_{ch} |\nabla m_y \cdot (x - \bar x)|`, ``[N, H, W]``.

    Args:
        gradients: Gradient of each sample's margin of its own class, ``[N, C, H, W]``.
        images: ``[N, C, H, W]``.
    """
    return (gradients * (images - images.mean(dim=0))).abs().sum(dim=1)


def promise(images: Tensor, looked_at: Tensor) -> Tensor:
    """Return what makes pixels likely to be of a cue, ``[N, 3, H, W]``.

    What the model looks at; the same relative to the other images; and fine detail relative to the other images, which
    finds what the model does not use yet.

    Args:
        images: All images that propose, ``[N, C, H, W]``.
        looked_at: Where the decision on each looks, ``[N, H, W]``, see :func:`sensitivity`.
    """
    return torch.stack([looked_at, _lift(looked_at), _lift(fine_detail(images))], dim=1)


def likely_windows(promising: Tensor, members: Tensor, generator: torch.Generator) -> Iterator[Windows]:
    """Choose windows of some images, a few of each size: the most promising, and at random, as what is even never is.

    Args:
        promising: What makes pixels of all images likely to be of a cue, ``[N, K, H, W]``, see :func:`promise`.
        members: Positions of the images that windows are taken from, ``int64 [M]``.
        generator: Of the random ones.
    """
    for side in window_sizes(*promising.shape[2:]):
        sums = F.avg_pool2d(promising[members], side, stride=1)
        n_columns = sums.shape[3]
        best = sums.flatten(2).argmax(dim=2)
        drawn = torch.randint(sums[0, 0].numel(), (len(members), _N_RANDOM), generator=generator)
        places = torch.cat([best, drawn], dim=1)
        image = members[:, None].expand_as(places)
        yield Windows(image.flatten(), (places // n_columns).flatten(), (places % n_columns).flatten(), side)


def neighbors(window: Windows, size: Sequence[int]) -> Iterator[Windows]:
    """Yield the windows of each size whose centers are about one pixel from that of one window, moved into its image.

    Args:
        window: One window.
        size: Height and width of the image.
    """
    for side in window_sizes(*size):
        shift = (window.side - side) // 2 + torch.arange(-1, 2)
        top = (window.top + shift).clamp(0, size[0] - side).unique()
        left = (window.left + shift).clamp(0, size[1] - side).unique()
        places = torch.cartesian_prod(top, left)
        yield Windows(window.image.expand(len(places)), places[:, 0], places[:, 1], side)


def merged(parts: Iterable[Windows]) -> Iterator[Windows]:
    """Yield the windows of each size as one, so that they are searched at once.

    Args:
        parts: Windows of several sizes.
    """
    by_side: dict[int, list[Windows]] = {}
    for part in parts:
        by_side.setdefault(part.side, []).append(part)
    for side, same in by_side.items():
        image, top, left = (torch.cat([getattr(one, name) for one in same]) for name in ("image", "top", "left"))
        yield Windows(image, top, left, side)


def _lift(values: Tensor) -> Tensor:
    """Return values relative to those of all images at the same place."""
    mean = values.mean(dim=0)
    return values / (mean + _SMOOTHING * mean.mean()).clamp(min=torch.finfo(values.dtype).tiny)


def fine_detail(images: Tensor) -> Tensor:
    """Return the square of how much each pixel differs from its neighborhood, mean over channels, ``[N, H, W]``."""
    around = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return (images - around).square().mean(dim=1)
