"""Where a copied cue is: the pixels on which its bearers agree and other images do not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Region", "grow"]

_AGREEING = 0.8
_AGREEING_ELSEWHERE = 0.3


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of a cue, on a canvas that moves with it.

    Args:
        mask: bool ``[2 H, 2 W]``; row H and column W are where the window of a bearer begins.
        size: Height H and width W of the images.
    """

    mask: Tensor
    size: tuple[int, int]

    def at(self, top: int, left: int) -> Tensor:
        """Return the pixels of an image that bears the cue with its window at a place, bool ``[H, W]``."""
        height, width = self.size
        return self.mask[height - top : 2 * height - top, width - left : 2 * width - left]


def grow(bearing: Tensor, top: Tensor, left: Tensor, others: Tensor, side: tuple[int, int], distance: float) -> Region:
    """Grow a window to the whole cue.

    Bearers are aligned by their windows. A pixel is of the cue where at least 80% of the bearers that have it are
    within ``distance`` of their median, at most 30% of other images are, and a chain of such pixels leads to the
    window.

    Args:
        bearing: Images with the cue, ``[B, C, H, W]``.
        top: First row of the window in each, ``int64 [B]``.
        left: First column of it.
        others: Images of other classes, ``[O, C, H, W]``; they are aligned like the bearers, in turn.
        side: Height and width of the window.
        distance: Root of the mean squared difference over channels.
    """
    height, width = bearing.shape[2:]
    aligned, known = _aligned(bearing, top, left)
    cue = aligned.masked_fill(~known[:, None], torch.nan).nanmedian(dim=0).values.nan_to_num(0)
    agreeing = _share_within(aligned, known, cue, distance)
    # A pixel that only few bearers have tells nothing.
    agreeing = agreeing.masked_fill(known.double().mean(dim=0) < _AGREEING, 0)
    turn = torch.arange(len(others)) % len(top)
    elsewhere = _share_within(*_aligned(others, top[turn], left[turn]), cue, distance)
    kept = (agreeing >= _AGREEING) & (elsewhere <= _AGREEING_ELSEWHERE)
    window = torch.zeros_like(kept)
    window[height : height + side[0], width : width + side[1]] = True
    connected = _connected(kept, kept & window)
    return Region(connected if connected.any() else window, (height, width))


def _aligned(images: Tensor, top: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Return images on a canvas ``[B, C, 2 H, 2 W]`` where their windows are at one place, and where they are on it."""
    height, width = images.shape[2:]
    rows = torch.arange(2 * height) - height + top[:, None]
    columns = torch.arange(2 * width) - width + left[:, None]
    known_rows, known_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    index = torch.arange(len(images))[:, None, None, None]
    channels = torch.arange(images.shape[1])[:, None, None]
    aligned = images[
        index, channels, rows.clamp(0, height - 1)[:, None, :, None], columns.clamp(0, width - 1)[:, None, None, :]
    ]
    return aligned, known_rows[:, :, None] & known_columns[:, None, :]


def _share_within(images: Tensor, known: Tensor, cue: Tensor, distance: float) -> Tensor:
    is_near = ((images - cue).square().mean(dim=1) <= distance**2) & known
    return is_near.double().sum(dim=0) / known.double().sum(dim=0).clamp(min=1)


def _connected(mask: Tensor, seeds: Tensor) -> Tensor:
    """Return the pixels of ``mask`` that a chain of neighbors leads to from ``seeds``."""
    reached = seeds
    while True:
        spread = F.max_pool2d(reached[None].float(), 3, stride=1, padding=1)[0].bool() & mask
        if torch.equal(spread, reached):
            return reached
        reached = spread
