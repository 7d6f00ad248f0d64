"""From the scores of subword tokens to the scores of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["WordReduction", "merge_words", "word_units"]

WordReduction = Literal["sum", "max"]


def merge_words(
    scores: Tensor,
    word_ids: Sequence[Sequence[int | None]],
    reduce: WordReduction = "sum",
    *,
    special: Tensor | None = None,
) -> Tensor:
    """Return the score of each word from those of its tokens.

    ``sum`` adds them up, so that a complete attribution stays complete; ``max`` takes the one of the largest magnitude,
    with its sign (the first of several).

    Args:
        scores: One for each token, signed or not, ``[N, T]``.
        word_ids: The word of each token, N rows of T; ``None`` for a token that belongs to none. A word is a run of
            neighboring tokens with the same id, as :func:`word_units` counts them.
        reduce: ``sum`` or ``max``.
        special: Tokens without a word that are kept as a unit each, bool ``[N, T]``: the special ones, but not the
            padding. The others are dropped, and so are all of them by default.

    Returns:
        ``[N, W]`` with the units of each row in reading order, W those of the longest; shorter rows end in 0.

    Raises:
        ConfigurationError: If the shapes differ, or ``reduce`` is neither.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.5, 1.0, -3.0, 0.25]])
        >>> merge_words(scores, [[None, 0, 0, 1]])
        tensor([[-2.0000,  0.2500]])
        >>> merge_words(scores, [[None, 0, 0, 1]], reduce="max")
        tensor([[-3.0000,  0.2500]])
    """
    if reduce not in ("sum", "max"):
        raise ConfigurationError(f"reduce={reduce!r}; expected 'sum' or 'max'")
    _check(scores, word_ids, special)
    flags = [None] * len(scores) if special is None else special.tolist()
    units = [word_units(row, flagged) for row, flagged in zip(word_ids, flags, strict=True)]
    merged = scores.new_zeros(len(scores), max((len(row) for row in units), default=0))
    for sample, row in enumerate(units):
        for unit, (start, stop) in enumerate(row):
            merged[sample, unit] = _reduce(scores[sample, start:stop], reduce)
    return merged


def word_units(word_ids: Sequence[int | None], special: Sequence[bool] | None = None) -> list[tuple[int, int]]:
    """Return the first token of each unit of one text input, and the one after its last.

    Args:
        word_ids: The word of each of T tokens; ``None`` for a token that belongs to none.
        special: Whether a token without a word is kept as a unit of its own, T of them; none is by default.

    Example:
        >>> word_units([None, 0, 0, 1, None], [True, False, False, False, False])
        [(0, 1), (1, 3), (3, 4)]
    """
    units: list[tuple[int, int]] = []
    before: int | None = None
    for position, word in enumerate(word_ids):
        if word is None:
            if special is not None and special[position]:
                units.append((position, position + 1))
        elif word == before:
            units[-1] = (units[-1][0], position + 1)
        else:
            units.append((position, position + 1))
        before = word
    return units


def _reduce(scores: Tensor, reduce: WordReduction) -> Tensor:
    return scores.sum() if reduce == "sum" else scores[scores.abs().argmax()]


def _check(scores: Tensor, word_ids: Sequence[Sequence[int | None]], special: Tensor | None) -> None:
    if scores.ndim != 2:
        raise ConfigurationError(
            f"scores have shape {list(scores.shape)}; expected [N, T], one number for each token. Reduce the dimension "
            "of the embedding first, e.g. with `values.sum(-1)`"
        )
    lengths = [len(row) for row in word_ids]
    if len(lengths) != len(scores) or any(length != scores.shape[1] for length in lengths):
        raise ConfigurationError(
            f"word_ids have {len(lengths)} rows of {sorted(set(lengths))} entries for scores of shape "
            f"{list(scores.shape)}; give one entry for each token, None for padding and special tokens"
        )
    if special is not None and special.shape != scores.shape:
        raise ConfigurationError(
            f"special has shape {list(special.shape)} for scores of shape {list(scores.shape)}; "
            "give one bool for each token"
        )
