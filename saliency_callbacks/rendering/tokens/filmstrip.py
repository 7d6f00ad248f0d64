"""One picture of how the scores of words change over the epochs, for a few text inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.filmstrip import thin
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.images import finite
from saliency_callbacks.rendering.legend import Heading, limited_title
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, INK, MUTED, PAPER
from saliency_callbacks.rendering.tokens.colors import WordScores, paint, style_of
from saliency_callbacks.rendering.tokens.font import WordFont

__all__ = ["token_filmstrip"]

_MARGIN = 14
_TABLE_GAP = 28
_CELL_HEIGHT = 22
_NARROWEST_CELL, _WIDEST_CELL = 34, 64
_CELL_PADDING = 6
_WORD_SIZE = 14
_WIDEST_WORD = 150
_WORD_GAP = 8
_WIDEST_PAGE = 1600
_NARROWEST = 480


def token_filmstrip(
    tokens: Sequence[Sequence[str]],
    moments: Sequence[str],
    scores_by_moment: Sequence[Tensor],
    captions: Sequence[Caption],
    *,
    special: Tensor | None = None,
    scale: Tensor | float | None = None,
    signed: bool = True,
    title: str,
    scale_note: str = "",
    max_texts: int = 4,
    max_words: int = 24,
    max_columns: int = 16,
    font: str | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw a table of colors for each text input: one row a word, one column a logged epoch, oldest first.

    Colors are relative to the largest magnitude of a text input over all moments, so that they compare. Of more than
    ``max_words`` words those that are largest at any moment are shown, in reading order, and the caption says so.

    Args:
        tokens: The words of each text input, N rows; the first are shown.
        moments: Name of each moment, such as ``"epoch 3"``.
        scores_by_moment: Scores ``[N, W]`` of each moment.
        captions: One for each text input.
        special: Which of the words are special tokens, bool ``[N, W]``; they are left out.
        scale: The magnitude that gets the full color, ``[N]`` or one for all.
        signed: Whether the sign counts.
        title: Line at the top, e.g. the method.
        scale_note: What the colors are relative to.
        max_texts: Most text inputs that are shown.
        max_words: Most words of a text input.
        max_columns: Most moments, at least 2: of more the first, the last and evenly spaced others are shown.
        font: Path of a font for the words; see `token_panel`.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If numbers or shapes differ.
        ConfigurationError: If a limit is too small, or ``font`` is no font.

    Example:
        >>> early, late = torch.tensor([[0.1, 0.2]]), torch.tensor([[0.0, 1.0]])
        >>> moments, captions = ["epoch 0", "epoch 1"], [Caption("#0", "pred pos · 0.93")]
        >>> picture = token_filmstrip([["a", "film"]], moments, [early, late], captions, title="gradient")
        >>> picture.dtype, picture.ndim
        (dtype('uint8'), 3)
    """
    _check(tokens, moments, scores_by_moment, captions, max_texts, max_words)
    columns = thin(len(moments), max_columns)
    by_moment = torch.stack([finite(torch.as_tensor(scores)) for scores in scores_by_moment])
    # The scale is that of all moments, also of those that are not shown.
    largest = (by_moment if signed else by_moment.clamp_min(0)).abs().amax(dim=0)
    words = WordScores.of(tokens, largest, special=special, scale=scale, signed=True)
    face = WordFont(font)
    names = [moments[column] for column in columns]
    tables = []
    for sample, caption in enumerate(captions[:max_texts]):
        rows = _Rows.of(words, sample, by_moment[columns, sample], signed=signed, limit=max_words)
        tables.append(_Table(rows, names, caption, face))
    title = limited_title(title, len(tables), len(tokens))
    return _compose(tables, Heading(title, *style_of(signed=signed), scale_note))


@dataclass(frozen=True, eq=False)
class _Rows:
    """The words of one text input that are shown, with their colors ``[words, moments, 3]``."""

    words: tuple[str, ...]
    colors: npt.NDArray[np.uint8]
    note: str

    @classmethod
    def of(cls, words: WordScores, sample: int, scores: Tensor, *, signed: bool, limit: int) -> _Rows:
        """Take the words that are largest at any moment; ``scores`` are ``[moments, W]``."""
        row = words.words[sample]
        plain = (~words.special[sample, : len(row)]).nonzero()[:, 0].tolist()
        ranked = sorted(plain, key=lambda index: -float(words.scores[sample, index]))
        kept = sorted(ranked[:limit])
        full = float(words.scale[sample])
        colors = [paint(scores[:, index].numpy(), full, signed=signed) for index in kept]
        table = np.array(colors, dtype=np.uint8).reshape(len(kept), len(scores), 3)
        note = f"{len(kept)} strongest of {len(plain)} words" if len(kept) < len(plain) else ""
        return cls(tuple(row[index] for index in kept), table, note)


@dataclass(frozen=True, eq=False)
class _Table:
    """The picture of one text input; sizes in pixels."""

    rows: _Rows
    names: Sequence[str]
    caption: Caption
    font: WordFont

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(self.font.fit(word, _WORD_SIZE, _WIDEST_WORD) for word in self.rows.words)

    @cached_property
    def cell_left(self) -> int:
        return max((self.font.width(word, _WORD_SIZE) for word in self.words), default=0) + _WORD_GAP

    @cached_property
    def cell_width(self) -> int:
        widest = max(text.text_width(text.printable(name), DETAIL_SIZE) for name in self.names) + _CELL_PADDING
        return min(max(widest, _NARROWEST_CELL), _WIDEST_CELL)

    @property
    def lines(self) -> tuple[str, str]:
        return self.caption.title, " · ".join(filter(None, (self.caption.detail, self.rows.note)))

    @cached_property
    def width(self) -> int:
        written = max(text.text_width(text.printable(line), DETAIL_SIZE) for line in self.lines)
        return max(self.cell_left + self.cell_width * len(self.names), min(written, 2 * _WIDEST_WORD))

    @property
    def height(self) -> int:
        return self.head_height + _CELL_HEIGHT * len(self.words)

    @property
    def head_height(self) -> int:
        return 3 * text.line_height(DETAIL_SIZE) + 4

    def draw(self, canvas: Image.Image, left: int, top: int) -> None:
        pen = ImageDraw.Draw(canvas)
        self._draw_caption(pen, left, top)
        self._draw_names(pen, left + self.cell_left, top + 2 * text.line_height(DETAIL_SIZE) + 2)
        for row in range(len(self.words)):
            self._draw_row(pen, row, left, top + self.head_height + row * _CELL_HEIGHT)

    def _draw_caption(self, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
        for line, color in zip(self.lines, self.caption.colors, strict=True):
            text.draw(pen, (left, top), line, size=DETAIL_SIZE, color=color, max_width=self.width)
            top += text.line_height(DETAIL_SIZE)

    def _draw_names(self, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
        widest = self.cell_width - _CELL_PADDING // 2
        for column, name in enumerate(self.names):
            position = (left + column * self.cell_width + _CELL_PADDING // 2, top)
            text.draw(pen, position, name, size=DETAIL_SIZE, color=MUTED, max_width=widest)

    def _draw_row(self, pen: ImageDraw.ImageDraw, row: int, left: int, top: int) -> None:
        word = self.words[row]
        word_left = left + self.cell_left - _WORD_GAP - self.font.width(word, _WORD_SIZE)
        lower = top + (_CELL_HEIGHT - self.font.height(_WORD_SIZE)) // 2
        self.font.draw(pen, (word_left, lower), word, size=_WORD_SIZE, color=INK)
        for column, (red, green, blue) in enumerate(self.rows.colors[row].tolist()):
            cell_left = left + self.cell_left + column * self.cell_width
            corners = (cell_left, top, cell_left + self.cell_width, top + _CELL_HEIGHT)
            pen.rectangle(corners, fill=(red, green, blue), outline=EDGE)


def _compose(tables: Sequence[_Table], heading: Heading) -> npt.NDArray[np.uint8]:
    """Set tables side by side, as many as fit a page, and further ones below the shortest column."""
    pitch = max(table.width for table in tables) + _TABLE_GAP
    across = max(1, min(len(tables), (_WIDEST_PAGE - 2 * _MARGIN + _TABLE_GAP) // pitch))
    inner = max(across * pitch - _TABLE_GAP, _NARROWEST)
    bottoms = [_MARGIN + heading.height(inner) + _MARGIN] * across
    corners: list[tuple[int, int]] = []
    for table in tables:
        column = bottoms.index(min(bottoms))
        corners.append((_MARGIN + column * pitch, bottoms[column]))
        bottoms[column] += table.height + _TABLE_GAP
    canvas = Image.new("RGB", (inner + 2 * _MARGIN, max(bottoms) - _TABLE_GAP + _MARGIN), PAPER)
    heading.draw(canvas, _MARGIN, _MARGIN, inner)
    for table, (left, top) in zip(tables, corners, strict=True):
        table.draw(canvas, left, top)
    return np.asarray(canvas)


def _check(
    tokens: Sequence[Sequence[str]],
    moments: Sequence[str],
    scores_by_moment: Sequence[Tensor],
    captions: Sequence[Caption],
    max_texts: int,
    max_words: int,
) -> None:
    shapes = {tuple(scores.shape) for scores in scores_by_moment}
    if len(scores_by_moment) != len(moments) or not moments or len(shapes) != 1 or len(captions) != len(tokens):
        raise InputError(
            f"got {len(moments)} moments, {len(scores_by_moment)} scores of shapes {sorted(shapes)} and "
            f"{len(captions)} captions for {len(tokens)} text inputs; expected scores [N, W] of one shape for all "
            "moments, and one caption per text input"
        )
    if max_texts < 1 or max_words < 1:
        raise ConfigurationError(f"max_texts={max_texts} and max_words={max_words}; expected positive numbers")
