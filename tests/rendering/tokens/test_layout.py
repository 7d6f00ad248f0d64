"""Words in lines: inside the width, in order, and cut with a note."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.rendering.tokens.colors import WordScores
from saliency_callbacks.rendering.tokens.font import WordFont
from saliency_callbacks.rendering.tokens.layout import lay_out


def test_lines_stay_inside_and_keep_the_order():
    words = WordScores.of([[f"word{index}" for index in range(60)] + ["x" * 400]], torch.ones(1, 61))
    layout = lay_out(words, 0, width=300, max_lines=99, font=WordFont())
    assert all(box.left + box.width <= 300 for box in layout.boxes)
    assert [(box.line, box.left) for box in layout.boxes] == sorted((box.line, box.left) for box in layout.boxes)
    assert layout.boxes[-1].text.endswith("…")
    assert layout.note == ""


@pytest.mark.parametrize("max_lines", [1, 2, 5])
def test_a_cut_tells_how_many_words_and_how_much_is_left_out(max_lines):
    scores = torch.arange(100.0)[None] * torch.tensor([1, -1]).repeat(50)
    words = WordScores.of([[f"word{index}" for index in range(100)]], scores)
    layout = lay_out(words, 0, width=400, max_lines=max_lines, font=WordFont())
    shown = len(layout.boxes)
    share = sum(range(shown, 100)) / sum(range(100))
    assert layout.lines == max_lines
    assert layout.note == f"… {100 - shown} more words ({share:.0%} of the weight)"
    assert layout.note_position[0] + WordFont().width(layout.note, 12) <= 400
