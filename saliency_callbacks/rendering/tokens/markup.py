"""Text inputs with their scores as HTML and as Markdown, where a picture would lose the letters."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.legend import color_bar
from saliency_callbacks.rendering.theme import EDGE, INK, MUTED, PAPER, WRONG, Color
from saliency_callbacks.rendering.tokens.colors import WordScores, ink_on, style_of
from saliency_callbacks.rendering.tokens.font import visible

__all__ = ["token_html", "token_markdown"]

_LEGEND_STEPS = 32
# What Markdown or its table syntax could take for a mark.
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~])")


def token_html(
    tokens: Sequence[Sequence[str]],
    scores: Tensor,
    captions: Sequence[Caption],
    *,
    special: Tensor | None = None,
    scale: Tensor | float | None = None,
    signed: bool = True,
    title: str,
    scale_note: str = "",
    max_words: int = 512,
) -> str:
    """Return text inputs with a color behind every word, as HTML: what `token_panel` draws, in any script.

    A fragment with inline styles only, without scripts, links or a style sheet, on its own light background. All words,
    captions and titles are escaped. The score of a word is its tooltip.

    Args:
        tokens: The words of each text input, N rows.
        scores: One for each word, ``[N, W]``.
        captions: One for each text input.
        special: Which of the words are special tokens, bool ``[N, W]``.
        scale: The magnitude that gets the full color, ``[N]`` or one for all; by default the largest of each text
            input.
        signed: Whether the sign counts.
        title: Line at the top.
        scale_note: What the colors are relative to.
        max_words: Further words of a text input are left out, and a note says how many.

    Raises:
        InputError: If numbers or shapes differ.
        ConfigurationError: If ``max_words`` is not positive.

    Example:
        >>> import torch
        >>> page = token_html([["a", "<b>"]], torch.tensor([[0.0, 2.0]]), [Caption("#0")], title="gradient")
        >>> "&lt;b&gt;" in page, "<b>" in page
        (True, False)
    """
    words = WordScores.of(tokens, scores, special=special, scale=scale, signed=signed)
    _check(words, captions, max_words)
    rows = (_html_row(words, sample, caption, max_words) for sample, caption in enumerate(captions))
    heading = (
        f'<div style="padding:0 0 8px"><strong style="font-size:17px">{html.escape(title)}</strong>'
        f"{_html_legend(signed, scale_note)}</div>"
    )
    style = (
        f"background:{_css(PAPER)};color:{_css(INK)};font-family:system-ui,sans-serif;font-size:15px;"
        "line-height:1.75;padding:12px"
    )
    return f'<div style="{style}">{heading}{"".join(rows)}</div>'


def token_markdown(
    tokens: Sequence[Sequence[str]],
    scores: Tensor,
    captions: Sequence[Caption],
    *,
    special: Tensor | None = None,
    signed: bool = True,
    strongest: int = 5,
    max_words: int = 200,
) -> str:
    """Return text inputs as Markdown: the strongest words with their scores, in bold, or in italics where negative.

    For dashboards that show no colors in text, such as TensorBoard, which drops every ``style``.

    Args:
        tokens: The words of each text input, N rows.
        scores: One for each word, ``[N, W]``.
        captions: One for each text input.
        special: Which of the words are special tokens, bool ``[N, W]``; they are set as code and never marked.
        signed: Whether the sign counts.
        strongest: How many words of a text input are marked: those of the largest magnitude other than 0.
        max_words: Further words of a text input are left out, and a note says how many.

    Raises:
        InputError: If numbers or shapes differ.
        ConfigurationError: If ``max_words`` is not positive.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[-1.5, 0.0, 2.0, 0.0]])
        >>> print(token_markdown([["not", "a", "great", "film"]], scores, [Caption("review 1")]))
        #### review 1
        <BLANKLINE>
        *not* (-1.5) a **great** (+2) film
    """
    words = WordScores.of(tokens, scores, special=special, signed=signed)
    _check(words, captions, max_words)
    parts = []
    for sample, caption in enumerate(captions):
        detail = f" · {_escape(caption.detail)}" if caption.detail else ""
        wrong = " · **wrong**" if caption.wrong else ""
        text = _markdown_text(words, sample, strongest, max_words)
        parts.append(f"#### {_escape(caption.title)}{detail}{wrong}\n\n{text}")
    return "\n\n".join(parts)


def _check(words: WordScores, captions: Sequence[Caption], max_words: int) -> None:
    if max_words < 1:
        raise ConfigurationError(f"max_words={max_words}; expected a positive number")
    if len(captions) != len(words.words):
        raise InputError(
            f"got {len(captions)} captions for {len(words.words)} text inputs; expected one per text input"
        )


def _html_row(words: WordScores, sample: int, caption: Caption, max_words: int) -> str:
    flags = words.special[sample].tolist()
    values = words.scores[sample].tolist()
    spans = [
        _html_word(word, words.written(value, 3), background, is_special)
        for word, value, background, is_special in zip(
            words.words[sample][:max_words], values, words.backgrounds(sample), flags, strict=False
        )
    ]
    left_out = words.left_out(sample, max_words)
    if left_out:
        spans.append(f'<span style="color:{_css(MUTED)};font-size:12px">{html.escape(left_out)}</span>')
    bar = _css(WRONG) if caption.wrong else "transparent"
    first, second = map(_css, caption.colors)
    return (
        f'<div style="border-top:1px solid {_css(EDGE)};border-left:4px solid {bar};padding:6px 8px">'
        f'<div style="font-size:13px;line-height:1.4"><span style="color:{first}">{html.escape(caption.title)}</span> '
        f'<span style="color:{second};margin-left:8px">{html.escape(caption.detail)}</span></div>'
        f'<div dir="auto" style="overflow-wrap:anywhere">{" ".join(spans)}</div></div>'
    )


def _html_word(word: str, tooltip: str, background: Color, is_special: bool) -> str:
    shown = html.escape(visible(word))
    shape = "border-radius:4px;padding:1px 3px"
    if is_special:
        style = f"{shape};border:1px solid {_css(EDGE)};color:{_css(MUTED)};font-size:12px"
    else:
        style = f"{shape};background:{_css(background)};color:{_css(ink_on(background))}"
    return f'<span title="{tooltip}" style="{style}">{shown}</span>'


def _html_legend(signed: bool, scale_note: str) -> str:
    style, colormap = style_of(signed=signed)
    bar = color_bar(style, colormap=colormap)[:: 256 // _LEGEND_STEPS]
    stops = ",".join(_css((int(red), int(green), int(blue))) for red, green, blue in bar)
    low, high = ("negative", "positive") if signed else ("low", "high")
    note = f" · {html.escape(scale_note)}" if scale_note else ""
    return (
        f'<span style="color:{_css(MUTED)};font-size:13px;margin-left:24px">{low} '
        f'<span style="display:inline-block;width:112px;height:10px;border:1px solid {_css(EDGE)};'
        f'background:linear-gradient(to right,{stops})"></span> {high}{note}</span>'
    )


def _markdown_text(words: WordScores, sample: int, strongest: int, max_words: int) -> str:
    values = words.scores[sample].tolist()
    special = words.special[sample].tolist()
    marked = _strongest(words, sample, strongest)
    shown = []
    for index, word in enumerate(words.words[sample][:max_words]):
        text = _escape(visible(word))
        if index in marked:
            mark = "**" if values[index] > 0 else "*"
            text = f"{mark}{text}{mark} ({words.written(values[index], 2)})"
        elif special[index]:
            text = f"`{visible(word).replace('`', chr(39))}`"
        shown.append(text)
    left_out = words.left_out(sample, max_words)
    return " ".join([*shown, _escape(left_out)] if left_out else shown) or "(no words)"


def _strongest(words: WordScores, sample: int, count: int) -> set[int]:
    """Return the indices of the words of largest magnitude other than 0, special tokens left out."""
    values, special = words.scores[sample].tolist(), words.special[sample].tolist()
    candidates = (index for index in range(len(words.words[sample])) if values[index] and not special[index])
    return set(sorted(candidates, key=lambda index: -abs(values[index]))[:count])


def _escape(text: str) -> str:
    """Return text that Markdown, and the HTML made of it, show as it is."""
    return _MARKS.sub(r"\\\1", html.escape(text, quote=False))


def _css(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
