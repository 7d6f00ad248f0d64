"""Curves over named steps, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["FIGURE_DPI", "Curve", "Line", "draw_curves", "draw_lines", "figure_pixels"]

FIGURE_DPI = 110
_LONGEST_NAME = 34
# Okabe and Ito's colors, which people with any color vision tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")


@dataclass(frozen=True)
class Curve:
    """One line of a figure.

    Args:
        name: Its name in the legend.
        values: One a step; NaN for none.
        spreads: Half the height of its error bars, one a step; NaN for none.
        band: Lower and upper edge of a horizontal band in its color.

    Example:
        >>> Curve("gradient", [0.9, 0.2], spreads=[0.05, 0.1], band=(0.0, 0.1)).name
        'gradient'
    """

    name: str
    values: Sequence[float]
    spreads: Sequence[float]
    band: tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line over numbers, with a band.

    Args:
        name: Its name in the legend.
        positions: Where its values are, in [0, 1].
        values: Its values, in [0, 1]; NaN for none.
        low: Lower edge of its band; NaN for none.
        high: Upper edge.

    Example:
        >>> Line("gradient", [0.0, 1.0], [1.0, 0.0], low=[1.0, 0.0], high=[1.0, 0.0]).name
        'gradient'
    """

    name: str
    positions: Sequence[float]
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def draw_lines(
    panels: Mapping[str, Sequence[Line]], *, title: str, note: str, across: str, up: str
) -> npt.NDArray[np.uint8]:
    """Draw panels of lines side by side, all from 0 to 1 in both directions; the first line of each stands out.

    Args:
        panels: Title of each panel, and its lines.
        title: Line at the top.
        note: Line below it.
        across: What the horizontal axes show.
        up: What the vertical axis shows.

    Returns:
        ``uint8 [height, width, 3]``.

    Example:
        >>> line = Line("gradient", [0.0, 1.0], [1.0, 0.0], low=[1.0, 0.0], high=[1.0, 0.0])
        >>> draw_lines({"removed": [line]}, title="t", note="n", across="share", up="evidence").shape
        (484, 506, 3)
    """
    width, height = 1.0 + 3.6 * len(panels), 4.4
    figure = Figure(figsize=(width, height), dpi=FIGURE_DPI)
    figure.suptitle(title, fontsize=12, x=0.15 / width, ha="left", y=1 - 0.12 / height, va="top")
    figure.text(0.15 / width, 0.12 / height, note, fontsize=8, va="bottom")
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    # Where everything is, is known: to find it out takes longer than to draw it.
    figure.subplots_adjust(0.65 / width, 1.15 / height, 1 - 0.15 / width, 1 - 0.75 / height, wspace=0.08)
    handles: dict[str, Any] = {}
    for axes, (name, lines) in zip(every, panels.items(), strict=True):
        # The last is drawn first, so that the first lies on top.
        for index, line in reversed(list(enumerate(lines))):
            handles.setdefault(line.name, _draw_line(axes, line, index))
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.04, 1.04)
        axes.set_xlabel(across, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    every[0].set_ylabel(up, fontsize=9)
    names = list(handles)[::-1]
    place = (0.05 / width, 0.28 / height)
    drawn = [handles[name] for name in names]
    figure.legend(drawn, names, loc="lower left", bbox_to_anchor=place, ncols=2, frameon=False, fontsize=9)
    return figure_pixels(figure)


def draw_curves(
    curves: Sequence[Curve], steps: Sequence[str], *, title: str, steps_label: str, values_label: str
) -> npt.NDArray[np.uint8]:
    """Draw curves over steps, with a legend.

    Args:
        curves: What is drawn, each in a color of its own.
        steps: Names of the steps along the horizontal axis.
        title: Line at the top.
        steps_label: What the horizontal axis shows.
        values_label: What the vertical axis shows.

    Returns:
        ``uint8 [height, width, 3]``.

    Example:
        >>> curve = Curve("gradient", [0.9, 0.2], spreads=[0.05, 0.1], band=(0.0, 0.1))
        >>> draw_curves([curve], ["fc", "conv"], title="t", steps_label="layer", values_label="similarity").shape
        (572, 770, 3)
    """
    width = min(16.0, max(7.0, 2.5 + 0.28 * len(steps)))
    figure = Figure(figsize=(width, 5.2), dpi=FIGURE_DPI, layout="constrained")
    axes = figure.add_subplot()
    positions = np.arange(len(steps))
    for index, curve in enumerate(curves):
        _draw_curve(axes, positions, curve, index)
    axes.axhline(0, color="#999999", linewidth=0.8)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    axes.set_xlabel(steps_label, fontsize=9)
    axes.set_ylabel(values_label, fontsize=9)
    names = [_short(step) for step in steps]
    axes.set_xticks(positions, names, rotation=90 if len(steps) > 1 else 0, fontsize=7)
    axes.set_xlim(-0.6, len(steps) - 0.4)
    axes.set_ylim(min(-0.3, axes.get_ylim()[0]), 1.05)
    axes.grid(axis="y", alpha=0.25)
    if curves:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return figure_pixels(figure)


def figure_pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """Draw a figure that was made without pyplot, so that no global state and no window system is touched.

    Returns:
        ``uint8 [height, width, 3]``.

    Example:
        >>> figure_pixels(Figure(figsize=(2, 1), dpi=FIGURE_DPI)).shape
        (110, 220, 3)
    """
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_line(axes: Axes, line: Line, index: int) -> Any:
    """Draw one line with its band; all but the first are dashed and grey."""
    color = _COLORS[0] if index == 0 else _COLORS[-1]
    (handle,) = axes.plot(
        line.positions, line.values, color=color, marker="o", markersize=4, linestyle="-" if index == 0 else "--"
    )
    axes.fill_between(line.positions, line.low, line.high, color=color, alpha=0.18, linewidth=0)
    return handle


def _draw_curve(axes: Axes, positions: npt.NDArray[np.integer], curve: Curve, index: int) -> None:
    """Draw one curve with its error bars and its band, in the color of its index."""
    color = _COLORS[index % len(_COLORS)]
    dashes = "-" if index < len(_COLORS) else "--"
    axes.errorbar(
        positions,
        curve.values,
        yerr=np.nan_to_num(np.asarray(curve.spreads, dtype=float)),
        color=color,
        fmt=f"o{dashes}",
        markersize=4,
        capsize=2,
        label=curve.name,
    )
    if all(np.isfinite(curve.band)):
        axes.axhspan(*curve.band, color=color, alpha=0.12, linewidth=0)
        axes.axhline(sum(curve.band) / 2, color=color, alpha=0.5, linewidth=0.8, linestyle=":")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
