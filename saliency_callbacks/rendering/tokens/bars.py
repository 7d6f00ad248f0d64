"""The scores of one text input as bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.rendering.curves import FIGURE_DPI, figure_pixels
from saliency_callbacks.rendering.tokens.colors import WordScores
from saliency_callbacks.rendering.tokens.font import WordFont

__all__ = ["token_bars"]

_LONGEST_WORD = 28
_GREY = "#b8bec8"


def token_bars(
    tokens: Sequence[str],
    scores: Tensor,
    *,
    special: Tensor | None = None,
    signed: bool = True,
    title: str,
    max_words: int = 40,
) -> npt.NDArray[np.uint8]:
    """Draw the scores of one text input as horizontal bars, in reading order from the top.

    Special tokens are grey. Of more than ``max_words`` words those of the largest magnitude are shown, and the title
    says so.

    Args:
        tokens: The words.
        scores: One for each word, ``[W]``.
        special: Which of the words are special tokens, bool ``[W]``.
        signed: Whether the sign counts; if not, negative scores count as 0.
        title: Line at the top.
        max_words: Most words that are shown.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If numbers or shapes differ.
        ConfigurationError: If ``max_words`` is not positive.

    Example:
        >>> import torch
        >>> token_bars(["a", "great", "film"], torch.tensor([0.0, 2.0, 0.4]), title="gradient").shape
        (200, 770, 3)
    """
    if max_words < 1:
        raise ConfigurationError(f"max_words={max_words}; expected a positive number")
    words = WordScores.of(
        [tokens], scores.unsqueeze(0), special=None if special is None else special.unsqueeze(0), signed=signed
    )
    values = words.scores[0, : len(tokens)].numpy()
    kept = np.sort(np.argsort(-np.abs(values), kind="stable")[:max_words])
    if len(kept) < len(tokens):
        title = f"{title} · {len(kept)} strongest of {len(tokens)} words"
    flags = words.special[0].tolist()
    fills = ["#{:02x}{:02x}{:02x}".format(*color) for color in words.backgrounds(0)]
    shown = [_GREY if flags[index] else fills[index] for index in kept]
    return _draw([_name(tokens[index]) for index in kept], values[kept], shown, title, "+" if signed else "")


def _draw(
    names: Sequence[str], values: npt.NDArray[np.floating], fills: Sequence[str], title: str, sign: str
) -> npt.NDArray[np.uint8]:
    figure = Figure(figsize=(7.0, 1.1 + 0.24 * max(len(names), 1)), dpi=FIGURE_DPI, layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(np.arange(len(names)), values, color=fills, edgecolor="#8a919c", linewidth=0.6, height=0.78)
    axes.bar_label(
        bars, [f"{value:{sign}.2g}" if value else "0" for value in values], padding=3, fontsize=7, color="#5c636e"
    )
    axes.axvline(0, color="#5c636e", linewidth=0.8)
    _style(axes, names)
    figure.suptitle(" ".join(map(WordFont().legible, title.split())), fontsize=11, x=0.01, ha="left", parse_math=False)
    return figure_pixels(figure)


def _style(axes: Axes, names: Sequence[str]) -> None:
    # A word may hold a dollar sign, which would otherwise begin a formula.
    axes.set_yticks(np.arange(len(names)), names, fontsize=8, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.14)
    axes.tick_params(axis="x", labelsize=7)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


def _name(word: str) -> str:
    shown = WordFont().legible(word)
    return shown if len(shown) <= _LONGEST_WORD else f"{shown[: _LONGEST_WORD - 1]}…"
