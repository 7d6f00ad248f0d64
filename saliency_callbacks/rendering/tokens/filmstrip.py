"""One picture of how the scores of a few texts' words change over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.filmstrip import thin
from saliency_callbacks.rendering.legend import Heading
from saliency_callbacks.rendering.panel import Caption
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, INK, MUTED, PAPER, WRONG
from saliency_callbacks.rendering.tokens.colors import WordScores, paint, style_of
from saliency_callbacks.rendering.tokens.font import WordFont

__all__ = ["token_filmstrip"]

_MARGIN = 14
_BLOCK_GAP = 28
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
    """Draw a table of colours for each text: one row a word, one column a logged epoch, oldest first.

    Colours are relative to the largest magnitude of a text over all moments, so that they compare. Of a longer text
    the words that are largest at any moment are shown, in reading order, and the caption says so.

    Args:
        tokens: The words of each text, N rows; the first texts are shown.
        moments: Name of each moment, such as ``"epoch 3"``.
        scores_by_moment: Scores ``[N, W]`` of each moment.
        captions: One for each text.
        special: Which of the words are special tokens, bool ``[N, W]``; they are left out.
        scale: The score that gets the full colour, ``[N]`` or one for all.
        signed: Whether the sign counts.
        title: Line at the top, e.g. the method.
        scale_note: What the colours are relative to.
        max_texts: Most texts that are shown.
        max_words: Most words of a text.
        max_columns: Most moments, at least 2: of more the first, the last and evenly spaced others are shown.
        font: Path of a font for the words; see `token_panel`.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If numbers or shapes differ.
        ConfigurationError: If a limit is too small, or ``font`` is no font.
    """
    _check(tokens, moments, scores_by_moment, captions, max_texts, max_words)
    columns = thin(len(moments), max_columns)
    # The scale is that of all moments, also of those that are not shown.
    by_moment = torch.stack([torch.as_tensor(scores).detach().float().cpu() for scores in scores_by_moment])
    finite = torch.nan_to_num(by_moment, nan=0.0, posinf=0.0, neginf=0.0)
    largest = (finite if signed else finite.clamp_min(0)).abs().amax(dim=0)
    words = WordScores.of(tokens, largest, special=special, scale=scale, signed=True)
    count = min(len(tokens), max_texts)
    if count < len(tokens):
        title = f"{title} · first {count} of {len(tokens)}"
    face = WordFont(font)
    names = [moments[column] for column in columns]
    blocks = [
        _Block.of(
            words,
            sample,
            finite[columns, sample],
            names,
            captions[sample],
            signed=signed,
            max_words=max_words,
            font=face,
        )
        for sample in range(count)
    ]
    return _compose(blocks, Heading(title, *style_of(signed=signed), scale_note))


@dataclass(frozen=True, eq=False)
class _Block:
    """The table of one text; sizes in pixels."""

    caption: Caption
    note: str
    words: tuple[str, ...]
    names: Sequence[str]
    colors: npt.NDArray[np.uint8]
    word_width: int
    cell: int
    font: WordFont

    @classmethod
    def of(
        cls,
        words: WordScores,
        sample: int,
        scores: Tensor,
        names: Sequence[str],
        caption: Caption,
        *,
        signed: bool,
        max_words: int,
        font: WordFont,
    ) -> _Block:
        length = len(words.words[sample])
        plain = (~words.special[sample, :length]).nonzero()[:, 0].tolist()
        ranked = sorted(plain, key=lambda place: -float(words.scores[sample, place]))
        places = sorted(ranked[:max_words])
        note = f"{len(places)} strongest of {len(plain)} words" if len(places) < len(plain) else ""
        shown = tuple(font.fit(words.words[sample][place], _WORD_SIZE, _WIDEST_WORD) for place in places)
        full = float(words.scale[sample])
        rows = [paint(scores[:, place].numpy(), full, signed=signed) for place in places]
        table = np.array(rows, dtype=np.uint8).reshape(len(places), len(names), 3)
        widest = max((font.width(word, _WORD_SIZE) for word in shown), default=0)
        name_width = max(text.text_width(text.printable(name), DETAIL_SIZE) for name in names) + _CELL_PADDING
        cell = min(max(name_width, _NARROWEST_CELL), _WIDEST_CELL)
        return cls(caption, note, shown, names, table, widest, cell, font)

    @property
    def width(self) -> int:
        lines = [" · ".join(filter(None, line)) for line in self._lines()]
        written = max(text.text_width(text.printable(line), DETAIL_SIZE) for line in lines)
        return max(self.word_width + _WORD_GAP + self.cell * len(self.names), min(written, 2 * _WIDEST_WORD))

    @property
    def height(self) -> int:
        return self._top + _CELL_HEIGHT * len(self.words)

    @property
    def _top(self) -> int:
        return 3 * text.line_height(DETAIL_SIZE) + 4

    def _lines(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.caption.title,), (self.caption.detail, self.note)

    def draw(self, canvas: Image.Image, left: int, top: int) -> None:
        pen = ImageDraw.Draw(canvas)
        line = text.line_height(DETAIL_SIZE)
        for row, (parts, color) in enumerate(zip(self._lines(), (INK, MUTED), strict=True)):
            ink = WRONG if self.caption.wrong else color
            shown = " · ".join(filter(None, parts))
            text.draw(pen, (left, top + row * line), shown, size=DETAIL_SIZE, color=ink, max_width=self.width)
        first = left + self.word_width + _WORD_GAP
        for column, name in enumerate(self.names):
            place = (first + column * self.cell + _CELL_PADDING // 2, top + 2 * line + 2)
            text.draw(pen, place, name, size=DETAIL_SIZE, color=MUTED, max_width=self.cell - _CELL_PADDING // 2)
        lower = (_CELL_HEIGHT - self.font.height(_WORD_SIZE)) // 2
        for row, word in enumerate(self.words):
            upper = top + self._top + row * _CELL_HEIGHT
            right = left + self.word_width - self.font.width(word, _WORD_SIZE)
            self.font.draw(pen, (right, upper + lower), word, size=_WORD_SIZE, color=INK)
            for column in range(len(self.names)):
                x = first + column * self.cell
                red, green, blue = self.colors[row, column].tolist()
                corners = (x, upper, x + self.cell, upper + _CELL_HEIGHT)
                pen.rectangle(corners, fill=(red, green, blue), outline=EDGE)


def _compose(blocks: Sequence[_Block], heading: Heading) -> npt.NDArray[np.uint8]:
    """Set blocks side by side, as many as fit a page, and further ones below the shortest column."""
    pitch = max(block.width for block in blocks) + _BLOCK_GAP
    across = max(1, min(len(blocks), (_WIDEST_PAGE - 2 * _MARGIN + _BLOCK_GAP) // pitch))
    inner = max(across * pitch - _BLOCK_GAP, _NARROWEST)
    bottoms = [_MARGIN + heading.height(inner) + _MARGIN] * across
    places: list[tuple[int, int]] = []
    for block in blocks:
        column = bottoms.index(min(bottoms))
        places.append((_MARGIN + column * pitch, bottoms[column]))
        bottoms[column] += block.height + _BLOCK_GAP
    canvas = Image.new("RGB", (inner + 2 * _MARGIN, max(bottoms) - _BLOCK_GAP + _MARGIN), PAPER)
    heading.draw(canvas, _MARGIN, _MARGIN, inner)
    for block, (left, top) in zip(blocks, places, strict=True):
        block.draw(canvas, left, top)
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
            f"Got {len(moments)} moments, {len(scores_by_moment)} scores of shapes {sorted(shapes)} and "
            f"{len(captions)} captions for {len(tokens)} texts; expected scores [N, W] for each moment, all of one "
            "shape, and a caption for each text"
        )
    if max_texts < 1 or max_words < 1:
        raise ConfigurationError(f"max_texts={max_texts} and max_words={max_words}; expected positive numbers")
