"""Words in lines: where each of them goes, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from saliency_callbacks.rendering.theme import EDGE, INK, MUTED, PAPER
from saliency_callbacks.rendering.tokens.colors import Color, WordScores, ink_on
from saliency_callbacks.rendering.tokens.font import WordFont

__all__ = ["WORD_SIZE", "Flow", "flow_words"]

WORD_SIZE = 16
_SPECIAL_SIZE = 12
_PADDING = 4
_GAP = 3
_LINE_GAP = 5


@dataclass(frozen=True)
class _Box:
    """A word at its place; sizes in pixels from the upper left of the flow."""

    text: str
    left: int
    line: int
    width: int
    background: Color
    is_special: bool
    is_marked: bool


@dataclass(frozen=True)
class Flow:
    """A text laid out in lines.

    Args:
        boxes: The words that are shown.
        lines: Number of lines.
        remark: What is left out, in words; empty where nothing is.
        remark_place: Left edge and line of the remark.
        font: Font of the words.
    """

    boxes: tuple[_Box, ...]
    lines: int
    remark: str
    remark_place: tuple[int, int]
    font: WordFont

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.lines * (_line(self.font) + _LINE_GAP) - _LINE_GAP

    def draw(self, canvas: Image.Image, left: int, top: int) -> None:
        """Draw the words, the upper left of the flow at a place."""
        pen = ImageDraw.Draw(canvas)
        height = _line(self.font)
        for box in self.boxes:
            x, y = left + box.left, top + box.line * (height + _LINE_GAP)
            corners = (x, y, x + box.width - 1, y + height - 1)
            if box.is_special:
                pen.rounded_rectangle(corners, radius=4, fill=PAPER, outline=EDGE)
                lower = y + (height - self.font.height(_SPECIAL_SIZE)) // 2
                self.font.draw(pen, (x + _PADDING, lower), box.text, size=_SPECIAL_SIZE, color=MUTED)
                continue
            pen.rounded_rectangle(corners, radius=4, fill=box.background)
            if box.is_marked:
                pen.rounded_rectangle(corners, radius=4, outline=INK, width=2)
            self.font.draw(pen, (x + _PADDING, y + 1), box.text, size=WORD_SIZE, color=ink_on(box.background))
        x, line = self.remark_place
        if self.remark:
            lower = top + line * (height + _LINE_GAP) + (height - self.font.height(_SPECIAL_SIZE)) // 2
            self.font.draw(pen, (left + x, lower), self.remark, size=_SPECIAL_SIZE, color=MUTED)


def flow_words(words: WordScores, sample: int, *, width: int, max_lines: int, font: WordFont) -> Flow:
    """Lay a text out in lines of a width.

    Of a text that needs more than ``max_lines`` the end is cut off, and a remark tells how many words that are and
    what share of the magnitudes they have.
    """
    boxes = _place(words, sample, width, font)
    lines = boxes[-1].line + 1 if boxes else 1
    if lines <= max_lines:
        return Flow(boxes, lines, "" if boxes else "(no words)", (0, 0), font)
    shares = words.shares(sample)
    shown = [box for box in boxes if box.line < max_lines]
    while shown:
        remark = _remark(len(boxes) - len(shown), sum(shares[len(shown) :]))
        left = shown[-1].left + shown[-1].width + 2 * _GAP if shown[-1].line == max_lines - 1 else 0
        if left + font.width(remark, _SPECIAL_SIZE) <= width or left == 0:
            break
        shown.pop()
    return Flow(tuple(shown), max_lines, remark, (left, max_lines - 1), font)


def _place(words: WordScores, sample: int, width: int, font: WordFont) -> tuple[_Box, ...]:
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


def _remark(count: int, share: float) -> str:
    return f"… {count} more {'word' if count == 1 else 'words'} ({share:.0%} of the weight)"


def _line(font: WordFont) -> int:
    return font.height(WORD_SIZE) + 2
