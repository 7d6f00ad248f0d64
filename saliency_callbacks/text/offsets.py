"""The words of a text as the tokenizer itself splits them, where it can tell."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

__all__ = ["ExactWords"]


class ExactWords:
    """Words by a fast tokenizer's own account: the ids are decoded, and encoded again with offsets.

    It knows a word only where the ids come out as they went in; elsewhere the marks on the tokens have to do.

    Args:
        tokenizer: A fast Hugging Face tokenizer. A copy of it is used, since encoding changes its settings.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = copy.deepcopy(tokenizer)

    @staticmethod
    def can_use(tokenizer: Any) -> bool:
        """Whether a tokenizer is a fast one."""
        return bool(getattr(tokenizer, "is_fast", False)) and callable(tokenizer) and hasattr(tokenizer, "decode")

    def split(self, ids: Sequence[int]) -> tuple[list[int], list[str]] | None:
        """Return the word of each of these tokens, counted from 0, and the words as text.

        Args:
            ids: Neighboring tokens of one text, none of them special.

        Returns:
            ``None`` where the text does not lead back to the same ids.
        """
        text = self._tokenizer.decode(list(ids))
        encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        if list(encoding["input_ids"]) != list(ids):
            return None
        words: list[int] = []
        spans: list[tuple[int, int]] = []
        before: int | None = None
        for word, (start, stop) in zip(encoding.word_ids(), encoding["offset_mapping"], strict=True):
            # The token of an unknown word is an added one, which has no word by the tokenizer's account.
            if word is None or word != before:
                spans.append((start, stop))
            else:
                spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
            words.append(len(spans) - 1)
            before = word
        return words, [text[start:stop].strip(" ") for start, stop in spans]
