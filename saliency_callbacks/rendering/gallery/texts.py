"""What a suspected shortcut in texts looks like: texts with it, without it, and others before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.gallery.blocks import Block, GalleryPair, Head, Line, draw_heading, heading_height
from saliency_callbacks.rendering.theme import DETAIL_SIZE, EDGE, INK, MUTED, PAPER, WRONG
from saliency_callbacks.rendering.tokens.colors import WordScores
from saliency_callbacks.rendering.tokens.font import WordFont
from saliency_callbacks.rendering.tokens.layout import WordLayout, lay_out

__all__ = ["GalleryText", "TextGallery", "draw_text_gallery"]

_MARGIN = 16
_BLOCK_GAP = 18
_WIDTH = 800
_ROW_GAP = 10
_ARROW = 24
_MAX_LINES = 4


@dataclass(frozen=True)
class GalleryText:
    """A text that is shown.

    Args:
        words: Its words, special tokens included.
        marked: Which of them are outlined.
        special: Which of them are special tokens.
    """

    words: Sequence[str]
    marked: Sequence[bool]
    special: Sequence[bool]

    def laid_out(self, width: int, font: WordFont) -> WordLayout:
        """Return it in lines of a width in pixels."""
        nothing = torch.zeros(1, len(self.words))
        flags = (torch.tensor([list(given)], dtype=torch.bool) for given in (self.marked, self.special))
        marked, special = (one.reshape(1, len(self.words)) for one in flags)
        scores = WordScores.of([self.words], nothing, marked=marked, special=special, scale=1.0)
        return lay_out(scores, 0, width=width, max_lines=_MAX_LINES, font=font)


@dataclass(frozen=True, eq=False)
class TextGallery:
    """The texts behind a suspicion about one class.

    Args:
        title: First line, e.g. ``"Class 4: the word “nb”"``.
        caption: What was found, in plain words.
        class_name: The suspect class.
        bearing: Texts of it with the cue; at least one.
        lacking: Texts of it without the cue; may be empty.
        before: Texts of other classes.
        after: The same with the cue.
        pairs: What is written below each of these.
        font: Path of a font for scripts that DejaVu Sans lacks.

    Raises:
        InputError: If texts and captions do not fit each other.

    Example:
        >>> one = GalleryText(["nb", "a", "film"], [True, False, False], [False, False, False])
        >>> pairs = [GalleryPair("3", ("3", "4"), (-1.0, 0.5))]
        >>> gallery = TextGallery("the word “nb”", "in 50% of class 4", "4", [one], [], [one], [one], pairs)
        >>> draw_text_gallery(gallery).shape[1:]
        (832, 3)
    """

    title: str
    caption: str
    class_name: str
    bearing: Sequence[GalleryText]
    lacking: Sequence[GalleryText]
    before: Sequence[GalleryText]
    after: Sequence[GalleryText]
    pairs: Sequence[GalleryPair]
    font: str | None = None

    def __post_init__(self) -> None:
        if not len(self.before) == len(self.after) == len(self.pairs):
            raise InputError(
                f"got {len(self.before)} texts before, {len(self.after)} after and {len(self.pairs)} captions; "
                "expected one of each per sample"
            )


def draw_text_gallery(gallery: TextGallery) -> npt.NDArray[np.uint8]:
    """Draw a gallery of texts: a title, a caption, and the texts below; the cue is outlined.

    Args:
        gallery: What is drawn.

    Returns:
        ``uint8 [height, width, 3]``.
    """
    blocks: list[Block] = [Head(gallery.title, gallery.caption, None), *_sections(gallery)]
    height = sum(block.height(_WIDTH) + _BLOCK_GAP for block in blocks) - _BLOCK_GAP
    canvas = Image.new("RGB", (_WIDTH + 2 * _MARGIN, height + 2 * _MARGIN), PAPER)
    top = _MARGIN
    for block in blocks:
        block.draw(canvas, _MARGIN, top, _WIDTH)
        top += block.height(_WIDTH) + _BLOCK_GAP
    return np.asarray(canvas)


def _sections(gallery: TextGallery) -> list[Block]:
    name, font = gallery.class_name, WordFont(gallery.font)
    outlined = "outlined" if any(any(one.marked) for one in gallery.bearing) else ""
    sections: list[Block] = [_Rows(f"Class {name} with the cue", outlined, gallery.bearing, font)]
    if gallery.lacking:
        sections.append(_Rows(f"Class {name} without the cue", "", gallery.lacking, font))
    else:
        sections.append(Line(f"No text input of class {name} lacks the cue."))
    if gallery.pairs:
        sections.append(_TextPairs(name, gallery.before, gallery.after, gallery.pairs, font))
    return sections


@dataclass(frozen=True, eq=False)
class _Rows:
    """Texts below each other, below a line that says what they are."""

    heading: str
    detail: str
    texts: Sequence[GalleryText]
    font: WordFont

    def height(self, width: int) -> int:
        """Return how high it is at a width, in pixels."""
        layouts = self._layouts(width)
        return heading_height() + sum(one.height + _ROW_GAP for one in layouts) - _ROW_GAP

    def draw(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        """Draw it."""
        draw_heading(canvas, (left, top), self.heading, self.detail, width)
        top += heading_height()
        pen = ImageDraw.Draw(canvas)
        for position, layout in enumerate(self._layouts(width)):
            if position:
                pen.line((left, top - _ROW_GAP // 2, left + width, top - _ROW_GAP // 2), fill=EDGE)
            layout.draw(canvas, left, top)
            top += layout.height + _ROW_GAP

    def _layouts(self, width: int) -> list[WordLayout]:
        return [one.laid_out(width, self.font) for one in self.texts]


@dataclass(frozen=True, eq=False)
class _TextPairs:
    """Texts of other classes before and after, with what changed in words."""

    class_name: str
    before: Sequence[GalleryText]
    after: Sequence[GalleryText]
    pairs: Sequence[GalleryPair]
    font: WordFont

    def height(self, width: int) -> int:
        """Return how high it is at a width, in pixels."""
        heights = [self._before(row, width).height + self._after(row, width).height for row in range(len(self.pairs))]
        lines = text.line_height(DETAIL_SIZE)
        return heading_height() + sum(height + 4 + lines + 2 * _ROW_GAP for height in heights) - 2 * _ROW_GAP

    def draw(self, canvas: Image.Image, left: int, top: int, width: int) -> None:
        """Draw it."""
        draw_heading(canvas, (left, top), "Other classes, before → after inserting the cue", "", width)
        top += heading_height()
        pen = ImageDraw.Draw(canvas)
        for row, pair in enumerate(self.pairs):
            if row:
                pen.line((left, top - _ROW_GAP, left + width, top - _ROW_GAP), fill=EDGE)
            before, after = self._before(row, width), self._after(row, width)
            before.draw(canvas, left + _ARROW, top)
            top += before.height + 4
            text.draw(pen, (left, top), "→", size=14, color=INK)
            after.draw(canvas, left + _ARROW, top)
            top += after.height
            turn = " → ".join(pair.predicted)
            line = f"labeled {pair.label} · predicted {turn} · {pair.margin_line(self.class_name)}"
            color = WRONG if pair.is_turned_to(self.class_name) else MUTED
            text.draw(pen, (left + _ARROW, top), line, size=DETAIL_SIZE, color=color, max_width=width - _ARROW)
            top += text.line_height(DETAIL_SIZE) + 2 * _ROW_GAP

    def _before(self, row: int, width: int) -> WordLayout:
        return self.before[row].laid_out(width - _ARROW, self.font)

    def _after(self, row: int, width: int) -> WordLayout:
        return self.after[row].laid_out(width - _ARROW, self.font)
