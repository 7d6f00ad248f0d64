"""The words of some text inputs, and the scores of tokens as those of words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from saliency_callbacks.functional.counted import normalize_counted
from saliency_callbacks.functional.word_merging import WordReduction
from saliency_callbacks.scores.tokens import per_token
from saliency_callbacks.text.token_texts import TokenTexts
from saliency_callbacks.types import Attribution

__all__ = ["Words"]


@dataclass(frozen=True, eq=False)
class Words:
    """The words of some text inputs.

    Args:
        texts: The text inputs.
        merge: How the scores of a word's tokens become one.
    """

    texts: TokenTexts
    merge: WordReduction

    @cached_property
    def units(self) -> list[list[str]]:
        """The words of each text input."""
        return self.texts.units()

    @cached_property
    def special(self) -> Tensor:
        """Which of them are special tokens, bool ``[N, U]``."""
        return self.texts.special_units()

    @cached_property
    def counted(self) -> Tensor:
        """Which of them are scored, bool ``[N, U]``."""
        lengths = torch.tensor([len(row) for row in self.units])
        return (torch.arange(self.special.shape[1]) < lengths[:, None]) & ~self.special

    def scored(self, attribution: Attribution) -> Attribution:
        """Return the scores of words, ``[N, 1, U]``, from an attribution of tokens."""
        tokens = per_token(attribution)
        values = self.texts.merge(tokens.values[:, 0], self.merge)
        magnitude = values.abs()
        return replace(
            tokens,
            values=values.unsqueeze(1),
            magnitude=magnitude,
            heatmap=normalize_counted(magnitude, self.counted),
            counted=self.counted,
        )
