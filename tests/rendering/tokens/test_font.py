"""The font of words shows what it lacks, and what cannot be seen."""

from __future__ import annotations

from saliency_callbacks.rendering.tokens.font import WordFont


def test_a_font_without_a_character_shows_a_box():
    font = WordFont()
    assert font.legible("Größe Привет 世界") == "Größe␣Привет␣□□"
    assert font.legible("two\n") == "two↵"
    assert font.legible("") == "␣"
    assert font.legible("a\u200bb\x07") == "ab"
