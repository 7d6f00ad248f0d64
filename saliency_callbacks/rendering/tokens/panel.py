"""One picture of a batch of texts: every word on the colour of its score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.legend import Heading
from saliency_callbacks.rendering.panel import Caption
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, INK, MUTED, PAPER, WRONG
from saliency_callbacks.rendering.tokens.colors import WordScores, style_of
from saliency_callbacks.rendering.tokens.font import WordFont
from saliency_callbacks.rendering.tokens.layout import Flow, flow_words

__all__ = ["MAX_TEXTS", "token_panel"]

MAX_TEXTS = 32
"""Further texts are left out of a panel, and the title says so."""

_MARGIN = 14
_ROW_GAP = 9
_BAR = 4
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
    """Draw texts with a colour behind every word: red for, blue against, or orange where only the size counts.

    Special tokens are outlined in grey and never coloured. Texts whose prediction is wrong have a red bar and a red
    caption. A text that is too long is cut, and says how many words are left out; of more than 32 texts the first 32
    are shown.

    Args:
        tokens: The words of each text, N rows.
        scores: One for each word, ``[N, W]``; W is at least the longest row.
        captions: One for each text.
        special: Which of the words are special tokens, bool ``[N, W]``.
        marked: Which of the words are outlined in black, bool ``[N, W]``, such as those of a cue.
        scale: The score that gets the full colour, ``[N]`` or one for all; by default the largest magnitude in each
            text, special tokens left out.
        signed: Whether the sign counts; if not, negative scores count as 0.
        title: Line at the top, e.g. method and moment.
        scale_note: What the colours are relative to, e.g. ``"shared scale"``.
        width: Width of the picture in pixels.
        max_lines: Most lines of a text.
        font: Path of a font for the words, for scripts that DejaVu Sans lacks (Chinese, Japanese, Korean, …).

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If numbers or shapes differ.
        ConfigurationError: If the width or the number of lines is too small, or ``font`` is no font.
    """
    words = WordScores.of(tokens, scores, special=special, scale=scale, signed=signed, marked=marked)
    _check(words, captions, width, max_lines)
    count = min(len(captions), MAX_TEXTS)
    if count < len(captions):
        title = f"{title} · first {count} of {len(captions)}"
    caption_width = _caption_width(captions[:count])
    inner = width - 2 * _MARGIN
    flow_left = _BAR + 6 + caption_width + _CAPTION_GAP
    face = WordFont(font)
    flows = [
        flow_words(words, sample, width=inner - flow_left, max_lines=max_lines, font=face) for sample in range(count)
    ]
    heading = Heading(title, *style_of(signed=signed), scale_note)
    rows = [_row_height(flow, caption) for flow, caption in zip(flows, captions, strict=False)]
    top = _MARGIN + heading.height(inner) + _ROW_GAP
    canvas = Image.new("RGB", (width, top + sum(rows) + (2 * count - 1) * _ROW_GAP + _MARGIN), PAPER)
    heading.draw(canvas, _MARGIN, _MARGIN, inner)
    pen = ImageDraw.Draw(canvas)
    for flow, caption, height in zip(flows, captions, rows, strict=False):
        pen.line((_MARGIN, top - _ROW_GAP // 2, width - _MARGIN, top - _ROW_GAP // 2), fill=EDGE)
        _draw_caption(canvas, (_MARGIN, top + _ROW_GAP // 2), caption, height, caption_width)
        flow.draw(canvas, _MARGIN + flow_left, top + _ROW_GAP // 2)
        top += height + 2 * _ROW_GAP
    return np.asarray(canvas)


def _draw_caption(canvas: Image.Image, place: tuple[int, int], caption: Caption, height: int, width: int) -> None:
    pen = ImageDraw.Draw(canvas)
    left, top = place
    if caption.wrong:
        pen.rectangle((left, top, left + _BAR - 1, top + height - 1), fill=WRONG)
    left += _BAR + 6
    top += 2
    for words, color in ((caption.title, INK), (caption.detail, MUTED)):
        text.draw(pen, (left, top), words, size=DETAIL_SIZE, color=WRONG if caption.wrong else color, max_width=width)
        top += text.line_height(DETAIL_SIZE)


def _caption_width(captions: Sequence[Caption]) -> int:
    lines = [line for caption in captions for line in (caption.title, caption.detail)]
    widest = max(text.text_width(text.printable(line), DETAIL_SIZE) for line in lines)
    return min(max(widest, _NARROWEST_CAPTION), _WIDEST_CAPTION)


def _row_height(flow: Flow, caption: Caption) -> int:
    lines = 2 if caption.detail else 1
    return max(flow.height, lines * text.line_height(DETAIL_SIZE) + 2)


def _check(words: WordScores, captions: Sequence[Caption], width: int, max_lines: int) -> None:
    if len(captions) != len(words.words):
        raise InputError(f"Got {len(captions)} captions for {len(words.words)} texts; expected one for each")
    smallest = 2 * _MARGIN + _WIDEST_CAPTION + _CAPTION_GAP + _NARROWEST_TEXT
    if width < smallest or max_lines < 1:
        raise ConfigurationError(
            f"width={width} and max_lines={max_lines}; expected at least {smallest} pixels and one line"
        )
