"""One picture of a batch of text inputs: every word on the color of its score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.legend import Heading, limited_title
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, PAPER, WRONG
from saliency_callbacks.rendering.tokens.colors import WordScores, style_of
from saliency_callbacks.rendering.tokens.font import WordFont
from saliency_callbacks.rendering.tokens.layout import WordLayout, lay_out

__all__ = ["MAX_TEXTS", "token_panel"]

MAX_TEXTS = 32
"""Further text inputs are left out of a panel, and the title says so."""

_MARGIN = 14
_ROW_GAP = 9
_BAR, _BAR_GAP = 4, 6
_CAPTION_GAP = 14
_NARROWEST_CAPTION, _WIDEST_CAPTION = 60, 190
_NARROWEST_TEXT = 240


def token_panel(
    tokens: Sequence[Sequence[str]],
    scores: Tensor,
    captions: Sequence[Caption],
    *,
    special: Tensor | None = None,
    marked: Tensor | None = None,
    scale: Tensor | float | None = None,
    signed: bool = True,
    title: str,
    scale_note: str = "",
    width: int = 960,
    max_lines: int = 8,
    font: str | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw text inputs with a color behind every word: red for, blue against, or orange where the sign does not count.

    Special tokens are outlined in grey and never colored. A wrong prediction has a red bar and a red caption. A text
    input that is too long is cut, and a note says how many words are left out; of more than 32 the first 32 are shown.

    Args:
        tokens: The words of each text input, N rows.
        scores: One for each word, ``[N, W]``; W is at least the longest row.
        captions: One for each text input.
        special: Which of the words are special tokens, bool ``[N, W]``.
        marked: Which of the words are outlined in black, bool ``[N, W]``, such as those of a cue.
        scale: The magnitude that gets the full color, ``[N]`` or one for all; by default the largest in each text
            input, special tokens left out.
        signed: Whether the sign counts; if not, negative scores count as 0.
        title: Line at the top, e.g. method and moment.
        scale_note: What the colors are relative to, e.g. ``"shared scale"``.
        width: Width of the picture in pixels.
        max_lines: Most lines of a text input.
        font: Path of a font for the words, for scripts that DejaVu Sans lacks (Chinese, Japanese, Korean, …).

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If numbers or shapes differ.
        ConfigurationError: If the width or the number of lines is too small, or ``font`` is no font.

    Example:
        >>> import torch
        >>> tokens, scores = [["a", "great", "film"], ["bad"]], torch.tensor([[0.0, 2.0, 0.4], [-1.0, 0.0, 0.0]])
        >>> token_panel(tokens, scores, [Caption("#0", "pred pos · 0.93"), Caption("#1")], title="gradient").shape[1]
        960
    """
    words = WordScores.of(tokens, scores, special=special, scale=scale, signed=signed, marked=marked)
    _check(words, captions, width, max_lines)
    shown = captions[:MAX_TEXTS]
    heading = Heading(limited_title(title, len(shown), len(captions)), *style_of(signed=signed), scale_note)
    face = WordFont(font)
    words_width = width - 2 * _MARGIN - _words_left(shown)
    layouts = [
        lay_out(words, sample, width=words_width, max_lines=max_lines, font=face) for sample in range(len(shown))
    ]
    return _compose(layouts, shown, heading, width)


def _compose(
    layouts: Sequence[WordLayout], captions: Sequence[Caption], heading: Heading, width: int
) -> npt.NDArray[np.uint8]:
    inner = width - 2 * _MARGIN
    words_left = _MARGIN + _words_left(captions)
    heights = [_row_height(layout, caption) for layout, caption in zip(layouts, captions, strict=True)]
    top = _MARGIN + heading.height(inner) + _ROW_GAP
    canvas = Image.new("RGB", (width, top + sum(heights) + (2 * len(layouts) - 1) * _ROW_GAP + _MARGIN), PAPER)
    heading.draw(canvas, _MARGIN, _MARGIN, inner)
    pen = ImageDraw.Draw(canvas)
    for layout, caption, height in zip(layouts, captions, heights, strict=True):
        pen.line((_MARGIN, top - _ROW_GAP // 2, width - _MARGIN, top - _ROW_GAP // 2), fill=EDGE)
        _draw_caption(canvas, (_MARGIN, top + _ROW_GAP // 2), caption, height, _caption_width(captions))
        layout.draw(canvas, words_left, top + _ROW_GAP // 2)
        top += height + 2 * _ROW_GAP
    return np.asarray(canvas)


def _draw_caption(canvas: Image.Image, position: tuple[int, int], caption: Caption, height: int, width: int) -> None:
    pen = ImageDraw.Draw(canvas)
    left, top = position
    if caption.wrong:
        pen.rectangle((left, top, left + _BAR - 1, top + height - 1), fill=WRONG)
    left += _BAR + _BAR_GAP
    top += 2
    for words, color in zip((caption.title, caption.detail), caption.colors, strict=True):
        text.draw(pen, (left, top), words, size=DETAIL_SIZE, color=color, max_width=width)
        top += text.line_height(DETAIL_SIZE)


def _words_left(captions: Sequence[Caption]) -> int:
    """Return how far from the margin the words begin."""
    return _BAR + _BAR_GAP + _caption_width(captions) + _CAPTION_GAP


def _caption_width(captions: Sequence[Caption]) -> int:
    lines = [line for caption in captions for line in (caption.title, caption.detail)]
    widest = max(text.text_width(text.printable(line), DETAIL_SIZE) for line in lines)
    return min(max(widest, _NARROWEST_CAPTION), _WIDEST_CAPTION)


def _row_height(layout: WordLayout, caption: Caption) -> int:
    lines = 2 if caption.detail else 1
    return max(layout.height, lines * text.line_height(DETAIL_SIZE) + 2)


def _check(words: WordScores, captions: Sequence[Caption], width: int, max_lines: int) -> None:
    if len(captions) != len(words.words):
        raise InputError(
            f"got {len(captions)} captions for {len(words.words)} text inputs; expected one per text input"
        )
    smallest = 2 * _MARGIN + _WIDEST_CAPTION + _CAPTION_GAP + _NARROWEST_TEXT
    if width < smallest or max_lines < 1:
        raise ConfigurationError(
            f"width={width} and max_lines={max_lines}; expected at least {smallest} pixels and one line"
        )
