"""Texts in which a cue is marked, as strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from saliency_callbacks.discovery.texts.samples import marks_from, places_of, texts_of_ids

__all__ = ["marked_texts", "marks_of"]


def marked_texts(ids: Tensor, marks: Tensor | None, tokenizer: Any = None) -> list[str]:
    """Return texts with «…» around the words that are marked, without special tokens and padding.

    Args:
        ids: ``[B, T]`` with :data:`~.samples.PADDING` for padding, such as the ``bearing`` of an exhibit.
        marks: Which tokens are marked, bool ``[B, T]``; ``None`` for none.
        tokenizer: Tells how tokens are written; without one they are shown as numbers.

    Example:
        >>> import torch
        >>> ids, marks = torch.tensor([[1, 2, 3, -1]]), torch.tensor([[False, True, False, False]])
        >>> marked_texts(ids, marks, ["[PAD]", "[CLS]", "nb", "fine"])
        ['«nb» fine']
    """
    if not len(ids):
        return []
    texts = texts_of_ids(ids, tokenizer)
    flags = [[False] * ids.shape[1]] * len(ids) if marks is None else marks.tolist()
    return [_marked(*row) for row in zip(texts.words, texts.word_ids, flags, strict=True)]


def marks_of(ids: Tensor, run: Sequence[int]) -> Tensor:
    """Return which tokens belong to a run of tokens, bool ``[N, T]``.

    Args:
        ids: ``[N, T]``.
        run: The run.

    Example:
        >>> import torch
        >>> marks_of(torch.tensor([[4, 5, 6, 5]]), (5, 6))
        tensor([[False,  True,  True, False]])
    """
    return marks_from(places_of(ids, run), len(run))


def _marked(words: tuple[str, ...], word_ids: tuple[int | None, ...], flags: list[bool]) -> str:
    marked = {word for word, flag in zip(word_ids, flags, strict=True) if flag and word is not None}
    written: list[str] = []
    for word, text in enumerate(words):
        opens = "«" if word in marked and word - 1 not in marked else ""
        closes = "»" if word in marked and word + 1 not in marked else ""
        written.append(f"{opens}{text}{closes}")
    return " ".join(written)
