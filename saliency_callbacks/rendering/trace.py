"""1-D signals → drawn traces, anti-aliased by the exact area that the line covers of each pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["draw_traces"]

_HEIGHT = 96
_MARGIN = 6
_LEGIBLE_WIDTH = 256
_LARGEST_WIDTH = 512
_HALF_THICKNESS = 0.8
_MOST_TRACES = 8

_PAPER = (250, 250, 248)
_INKS = (
    (38, 50, 70),
    (200, 70, 40),
    (40, 130, 90),
    (120, 80, 170),
    (180, 130, 20),
    (40, 130, 180),
    (190, 70, 130),
    (110, 110, 110),
)


def draw_traces(signals: Tensor) -> npt.NDArray[np.uint8]:
    """Draw 1-D signals as traces on light paper.

    Sample ``i`` lies in the middle of its own band of columns. Each picture spans the range of its own signal, over
    all channels; a signal longer than the picture is drawn as its envelope, so that no peak is lost.

    Args:
        signals: Finite values ``[N, C, length]``. Up to 8 channels are drawn in a colour each, more as their mean.

    Returns:
        ``uint8 [N, 96, width, 3]``; the width is ``length`` times a whole number, and at most 512.
    """
    if signals.shape[1] > _MOST_TRACES:
        signals = signals.mean(dim=1, keepdim=True)
    top, bottom = _column_spans(_to_rows(signals), _width(signals.shape[-1]))
    paper = np.array(_PAPER, dtype=np.float32)
    picture = np.empty((signals.shape[0], _HEIGHT, top.shape[-1], 3), dtype=np.float32)
    picture[:] = paper + 0.5
    # The first channel is drawn last, on top of the others.
    for channel in reversed(range(signals.shape[1])):
        coverage = _coverage(top[:, channel], bottom[:, channel])[..., None]
        picture *= 1 - coverage
        picture += coverage * (np.array(_INKS[channel], dtype=np.float32) + 0.5)
    return picture.astype(np.uint8)


def _width(length: int) -> int:
    """Return the width that gives each sample the same whole number of columns, where that fits."""
    if length >= _LARGEST_WIDTH:
        return _LARGEST_WIDTH
    return length * min(-(-_LEGIBLE_WIDTH // length), _LARGEST_WIDTH // length)


def _to_rows(signals: Tensor) -> Tensor:
    """Map values to row coordinates: the largest to the top margin, the smallest to the bottom margin."""
    low, high = signals.amin(dim=(1, 2), keepdim=True), signals.amax(dim=(1, 2), keepdim=True)
    span = high - low
    height = torch.where(span > 0, (signals - low) / span.clamp_min(torch.finfo(span.dtype).tiny), 0.5)
    return _HEIGHT - _MARGIN - height * (_HEIGHT - 2 * _MARGIN)


def _column_spans(rows: Tensor, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the smallest and largest row coordinate of the line in each column, ``[N, C, width]`` each."""
    points = rows if rows.shape[-1] >= width else F.interpolate(rows, size=8 * width, mode="linear")
    bottom = F.adaptive_max_pool1d(points, width)
    top = -F.adaptive_max_pool1d(-points, width)
    # Neighbouring columns have to touch, or a steep line falls into pieces.
    gap = top[..., 1:] - bottom[..., :-1]
    bottom[..., :-1] += gap.clamp_min(0)
    gap = top[..., :-1] - bottom[..., 1:]
    bottom[..., 1:] += gap.clamp_min(0)
    return top.numpy(), bottom.numpy()


def _coverage(top: npt.NDArray[np.float32], bottom: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return how much of each pixel the line covers, ``[N, height, width]`` in [0, 1]."""
    row = np.arange(_HEIGHT, dtype=np.float32)[:, None]
    lower = np.minimum(bottom[:, None, :] + _HALF_THICKNESS, row + 1)
    upper = np.maximum(top[:, None, :] - _HALF_THICKNESS, row)
    covered: npt.NDArray[np.float32] = np.clip(lower - upper, 0, 1)
    return covered
