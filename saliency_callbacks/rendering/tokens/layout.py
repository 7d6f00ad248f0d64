"""Words in lines: the position of each, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from saliency_callbacks.rendering.theme import EDGE, INK, MUTED, PAPER, Color
from saliency_callbacks.rendering.tokens.colors import WordScores, ink_on
from saliency_callbacks.rendering.tokens.font import WordFont

__all__ = ["WORD_SIZE", "WordLayout", "lay_out"]

WORD_SIZE = 16
_SPECIAL_SIZE = 12
_PADDING = 4
_GAP = 3
_LINE_GAP = 5


@dataclass(frozen=True)
class _Box:
    """A word at its position; sizes in pixels from the upper left of the layout."""

    text: str
    left: int
    line: int
    width: int
    background: Color
    is_special: bool
    is_marked: bool


@dataclass(frozen=True)
class WordLayout:
    """The words of a text input in lines.

    Args:
        boxes: The words that are shown.
        lines: Number of lines.
        note: What is left out, in words; empty where nothing is.
        note_position: Left edge and line of the note.
        font: Font of the words.
    """

    boxes: tuple[_Box, ...]
    lines: int
    note: str
    note_position: tuple[int, int]
    font: WordFont

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.lines * self._pitch - _LINE_GAP

    def draw(self, canvas: Image.Image, left: int, top: int) -> None:
        """Draw the words; ``left`` and ``top`` are the upper left corner of the layout."""
        pen = ImageDraw.Draw(canvas)
        for box in self.boxes:
            self._draw_box(pen, box, left + box.left, top + box.line * self._pitch)
        note_left, line = self.note_position
        self._draw_small(pen, left + note_left, top + line * self._pitch, self.note)

    def _draw_box(self, pen: ImageDraw.ImageDraw, box: _Box, left: int, top: int) -> None:
        corners = (left, top, left + box.width - 1, top + self._line_height - 1)
        if box.is_special:
            pen.rounded_rectangle(corners, radius=4, fill=PAPER, outline=EDGE)
            self._draw_small(pen, left + _PADDING, top, box.text)
            return
        pen.rounded_rectangle(corners, radius=4, fill=box.background)
        if box.is_marked:
            pen.rounded_rectangle(corners, radius=4, outline=INK, width=2)
        self.font.draw(pen, (left + _PADDING, top + 1), box.text, size=WORD_SIZE, color=ink_on(box.background))

    def _draw_small(self, pen: ImageDraw.ImageDraw, left: int, top: int, words: str) -> None:
        lower = top + (self._line_height - self.font.height(_SPECIAL_SIZE)) // 2
        self.font.draw(pen, (left, lower), words, size=_SPECIAL_SIZE, color=MUTED)

    @property
    def _line_height(self) -> int:
        return self.font.height(WORD_SIZE) + 2

    @property
    def _pitch(self) -> int:
        return self._line_height + _LINE_GAP


def lay_out(words: WordScores, sample: int, *, width: int, max_lines: int, font: WordFont) -> WordLayout:
    """Lay the words of a text input out in lines of a width.

    Where it needs more than ``max_lines`` its end is cut off, and a note says how many words that are and what share of
    the magnitudes they have.

    Example:
        >>> import torch
        >>> words = WordScores.of([["word"] * 9], torch.ones(1, 9))
        >>> layout = lay_out(words, 0, width=360, max_lines=1, font=WordFont())
        >>> len(layout.boxes), layout.note
        (2, '… 7 more words (78% of the weight)')
    """
    boxes = _break_lines(words, sample, width, font)
    lines = boxes[-1].line + 1 if boxes else 1
    if lines <= max_lines:
        return WordLayout(boxes, lines, "" if boxes else "(no words)", (0, 0), font)
    shown = [box for box in boxes if box.line < max_lines]
    note, left = "", 0
    while shown:
        note = words.left_out(sample, len(shown))
        left = shown[-1].left + shown[-1].width + 2 * _GAP if shown[-1].line == max_lines - 1 else 0
        if left + font.width(note, _SPECIAL_SIZE) <= width or left == 0:
            break
        shown.pop()
    return WordLayout(tuple(shown), max_lines, note, (left, max_lines - 1), font)


def _break_lines(words: WordScores, sample: int, width: int, font: WordFont) -> tuple[_Box, ...]:
    boxes: list[_Box] = []
    left = line = 0
    flags = zip(words.special[sample].tolist(), words.marked[sample].tolist(), strict=True)
    shown = zip(words.words[sample], words.backgrounds(sample), flags, strict=False)
    for word, background, (special, marked) in shown:
        size = _SPECIAL_SIZE if special else WORD_SIZE
        text = font.fit(word, size, width - 2 * _PADDING)
        taken = font.width(text, size) + 2 * _PADDING
        if left and left + taken > width:
            left, line = 0, line + 1
        boxes.append(_Box(text, left, line, taken, background, special, marked))
        left += taken + _GAP
    return tuple(boxes)
