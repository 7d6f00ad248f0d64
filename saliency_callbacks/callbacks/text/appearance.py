"""How the scores of words are formed and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saliency_callbacks.callbacks.runtime.appearance import ColorScale, as_names
from saliency_callbacks.callbacks.runtime.settings import set_field
from saliency_callbacks.config.checks import checked_choice, checked_integer
from saliency_callbacks.functional.word_merging import WordReduction

__all__ = ["TextAppearance"]


@dataclass(frozen=True)
class TextAppearance:
    """How text inputs are shown.

    Args:
        merge: How the token scores of a word are combined: their ``"sum"``, or the ``"max"`` by magnitude.
        color_scale: ``shared`` by all epochs of each text input, or ``per_map``.
        bars: Position in the probe of the text input whose scores are drawn as bars; ``None`` for none.
        top: How many top tokens of each class are listed; 0 for no table.
        font: Path of a font for words in scripts that DejaVu Sans lacks.
        class_names: Names of the classes; by default the dataset's.

    Raises:
        ConfigurationError: If a value is not one of those described.

    Example:
        >>> TextAppearance(merge="max", top=5).is_shared
        True
    """

    merge: WordReduction = "sum"
    color_scale: ColorScale = "shared"
    bars: int | None = 0
    top: int = 10
    font: str | None = None
    class_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        checked_choice("merge", self.merge, ("sum", "max"))
        checked_choice("color_scale", self.color_scale, ("shared", "per_map"))
        if self.bars is not None:
            set_field(self, "bars", checked_integer("bars", self.bars, 0))
        set_field(self, "top", checked_integer("top", self.top, 0))
        set_field(self, "class_names", as_names(self.class_names))

    @property
    def is_shared(self) -> bool:
        """Whether the colors of a text input mean the same at every epoch."""
        return self.color_scale == "shared"
