"""The words that count most for each class, over a whole probe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.types import Cell, Table

__all__ = ["TopToken", "tabulate_top_tokens", "top_tokens", "top_tokens_table"]


class TopToken(NamedTuple):
    """A word and its scores.

    Args:
        word: The word, case-folded.
        mean: Mean of its scores.
        times: Number of occurrences.

    Example:
        >>> import torch
        >>> strongest = top_tokens([["bad", "film"]], torch.tensor([[2.0, 0.5]]), [0])[0][0]
        >>> f"{strongest.word}: {strongest.mean:+.1f}, {strongest.times} time"
        'bad: +2.0, 1 time'
    """

    word: str
    mean: float
    times: int


def top_tokens(
    tokens: Sequence[Sequence[str]],
    scores: Tensor,
    classes: Sequence[int] | Tensor,
    k: int = 10,
    special: Tensor | None = None,
) -> dict[int, list[TopToken]]:
    """Return the words that count most for each class, the strongest first.

    Words are case-folded, so that "The" and "the" are one. They are ranked by the sum of their scores, mean × count:
    by the mean alone a word that occurs once would come before one that gives the class away in every text. Only
    words with a positive sum count for a class.

    Args:
        tokens: The words of each text, N rows.
        scores: One score for each word, ``[N, W]``; those that are not finite are ignored.
        classes: The class that each text's scores explain, ``[N]``.
        k: Largest number of words for each class.
        special: Words that are left out, bool ``[N, W]``: special tokens.

    Returns:
        Class → its words, by class.

    Raises:
        ConfigurationError: If numbers or shapes differ, or ``k`` is not positive.

    Example:
        >>> import torch
        >>> top_tokens([["So", "bad"], ["so"]], torch.tensor([[0.5, 2.0], [1.0, 0.0]]), [0, 0], k=1)
        {0: [TopToken(word='bad', mean=2.0, times=1)]}
    """
    given = classes.tolist() if isinstance(classes, Tensor) else list(classes)
    _check(tokens, scores, given, k, special)
    totals: dict[int, dict[str, list[float]]] = {label: defaultdict(list) for label in sorted(set(given))}
    values = scores.detach().double().cpu()
    counts = values.isfinite() if special is None else values.isfinite() & ~special.cpu()
    for row, label, found, usable in zip(tokens, given, values.tolist(), counts.tolist(), strict=True):
        for word, score, does_count in zip(row, found, usable, strict=False):
            if does_count:
                totals[label][word.casefold()].append(score)
    return {label: _strongest(words, k) for label, words in totals.items()}


def tabulate_top_tokens(found: Mapping[int, Sequence[TopToken]], name_of: Callable[[int], str] = str) -> Table:
    """Return top tokens as a table, a row for each word.

    Args:
        found: What :func:`top_tokens` returned.
        name_of: Name of a class.

    Example:
        >>> tabulate_top_tokens({0: [TopToken("bad", 2.0, 1)]}).rows[0][1]
        Cell(text='bad', style='name')
    """
    rows: list[tuple[Cell, ...]] = []
    for label, words in found.items():
        name = Cell(name_of(label), "name")
        rows += [(name, Cell(word, "name"), Cell(f"{mean:+.3g}"), Cell(str(times))) for word, mean, times in words]
        rows += [] if words else [(name, Cell("none"), Cell(""), Cell(""))]
    return Table(("class", "word", "mean score", "times"), tuple(rows))


def top_tokens_table(found: Mapping[int, Sequence[TopToken]], name_of: Callable[[int], str] = str) -> str:
    """Return top tokens as a Markdown table; see :func:`tabulate_top_tokens`.

    Args:
        found: What :func:`top_tokens` returned.
        name_of: Name of a class.
    """
    return tabulate_top_tokens(found, name_of).markdown()


def _strongest(words: Mapping[str, Sequence[float]], k: int) -> list[TopToken]:
    sums = {word: sum(values) for word, values in words.items()}
    # By the word in the end, so that ties do not depend on the order of the samples.
    ranked = sorted((word for word in sums if sums[word] > 0), key=lambda word: (-sums[word], word))
    return [TopToken(word, sums[word] / len(words[word]), len(words[word])) for word in ranked[:k]]


def _check(
    tokens: Sequence[Sequence[str]], scores: Tensor, classes: Sequence[int], k: int, special: Tensor | None
) -> None:
    longest = max((len(row) for row in tokens), default=0)
    if scores.ndim != 2 or len(scores) != len(tokens) or longest > scores.shape[1] or len(classes) != len(tokens):
        raise ConfigurationError(
            f"there are scores {list(scores.shape)} and {len(classes)} classes for {len(tokens)} text inputs of up to "
            f"{longest} words; give scores [N, W], one column per word, and one class per text input"
        )
    if special is not None and special.shape != scores.shape:
        raise ConfigurationError(f"special has shape {list(special.shape)}; give one bool per score")
    if k < 1:
        raise ConfigurationError(f"k={k}; give a positive number of words")
