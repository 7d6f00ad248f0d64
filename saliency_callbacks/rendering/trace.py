"""1-D signals → drawn traces, by Matplotlib's Agg."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, IdentityTransform
from torch import Tensor
from torch.nn import functional as F

__all__ = ["draw_traces"]

_HEIGHT = 96
_MARGIN = 6
_LEGIBLE_WIDTH = 256
_LARGEST_WIDTH = 512
_LINE_WIDTH = 1.6
_MOST_TRACES = 8

_PAPER = "#fafaf8"
_INKS = ("#263246", "#c84628", "#28825a", "#7850aa", "#b48214", "#2882b4", "#be4682", "#6e6e6e")

# At this resolution one of Matplotlib's points is one pixel.
_DPI = 72


def draw_traces(signals: Tensor) -> npt.NDArray[np.uint8]:
    """Draw 1-D signals as traces on light paper.

    Sample ``i`` lies in the middle of its own band of columns. Each picture spans the range of its own signal, over
    all channels; of a signal longer than the picture the lowest and the highest sample of each column are drawn, so
    that no peak is lost.

    Args:
        signals: Finite values ``[N, C, length]``. Up to 8 channels are drawn in a color each, more as their mean.

    Returns:
        ``uint8 [N, 96, width, 3]``; the width is ``length`` times a whole number, and at most 512.

    Example:
        >>> import torch
        >>> draw_traces(torch.linspace(0, 6, 100).sin().expand(2, 1, 100)).shape
        (2, 96, 300, 3)
    """
    values = signals.double()
    if values.shape[1] > _MOST_TRACES:
        values = values.mean(dim=1, keepdim=True)
    width = _width(values.shape[-1])
    lines = _lines(_heights(values), width)
    return np.stack([_draw(channels, width) for channels in lines])


def _width(length: int) -> int:
    """Return the width that gives each sample the same whole number of columns, where that fits."""
    if length >= _LARGEST_WIDTH:
        return _LARGEST_WIDTH
    return length * min(-(-_LEGIBLE_WIDTH // length), _LARGEST_WIDTH // length)


def _heights(values: Tensor) -> Tensor:
    """Return heights above the lower edge: the smallest value at the lower margin, the largest at the upper one."""
    low, high = values.amin(dim=(1, 2), keepdim=True), values.amax(dim=(1, 2), keepdim=True)
    span = high - low
    share = torch.where(span > 0, (values - low) / span.clamp_min(torch.finfo(span.dtype).tiny), 0.5)
    return (_MARGIN + share * (_HEIGHT - 2 * _MARGIN)).float()


def _lines(heights: Tensor, width: int) -> npt.NDArray[np.float32]:
    """Return the points of each line, ``[N, C, points, 2]``, from the left edge of the picture to the right one."""
    length = heights.shape[-1]
    kept = _extremes(heights, width) if length > width else torch.arange(length).expand(heights.shape)
    columns = (kept + 0.5) * (width / length)
    points = torch.stack([columns, heights.gather(-1, kept)], dim=-1)
    first, last = points[..., :1, :].clone(), points[..., -1:, :].clone()
    first[..., 0], last[..., 0] = 0, width
    return torch.cat([first, points, last], dim=-2).numpy()


def _extremes(heights: Tensor, width: int) -> Tensor:
    """Return which samples are the lowest and the highest of each column, ``[N, C, 2 · width]``, from left to right."""
    highest = F.adaptive_max_pool1d(heights, width, return_indices=True)[1]
    lowest = F.adaptive_max_pool1d(-heights, width, return_indices=True)[1]
    return torch.stack([highest, lowest], dim=-1).flatten(-2).sort(dim=-1).values


def _draw(channels: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.uint8]:
    """Draw lines ``[C, points, 2]``, by a renderer of its own: no pyplot, and no settings but those given here."""
    renderer: Any = RendererAgg(width, _HEIGHT, _DPI)  # type: ignore[no-untyped-call]
    pen = renderer.new_gc()
    pen.set_linewidth(0)
    renderer.draw_path(pen, Path.unit_rectangle(), Affine2D().scale(width, _HEIGHT), to_rgb(_PAPER))
    pen.set_linewidth(_LINE_WIDTH)
    # A flat line must not move to the nearest whole pixel.
    pen.set_snap(False)
    # The first channel is drawn last, on top of the others.
    for points, ink in reversed(list(zip(channels, _INKS, strict=False))):
        path = Path(points)
        path.should_simplify = False
        pen.set_foreground(ink)
        renderer.draw_path(pen, path, IdentityTransform())
    return np.asarray(renderer.buffer_rgba())[..., :3].copy()
