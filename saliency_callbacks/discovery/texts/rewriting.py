"""Texts with other content between the special tokens at their ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice

import torch
from torch import Tensor

from saliency_callbacks.discovery.texts.samples import PADDING

__all__ = ["repeated", "rewritten", "without_run"]

Rewrite = Callable[[int, list[int]], Sequence[int]]
"""From the row and the ids of a text, without the special tokens at its ends, to other ids."""


def rewritten(ids: Tensor, special_ids: Sequence[int], rewrite: Rewrite) -> Tensor:
    """Rewrite texts; they keep the special tokens at their ends, and are padded on the side on which they were.

    Args:
        ids: ``[N, T]`` with :data:`~.samples.PADDING` for padding.
        special_ids: Ids of special tokens.
        rewrite: What is done to each; what has no room is cut off at the end.

    Example:
        >>> ids = torch.tensor([[1, 5, 6, 2, PADDING]])
        >>> rewritten(ids, (1, 2), lambda row, content: [*content, 7, 8]).tolist()
        [[1, 5, 6, 7, 2]]
    """
    return torch.tensor([_row(row, {*special_ids}, rewrite, at) for at, row in enumerate(ids.tolist())])


def repeated(content: Sequence[int], keep: int, length: int) -> list[int]:
    """Return the first ``keep`` tokens of a text, said again and again up to a length.

    Example:
        >>> repeated([4, 5, 6], keep=2, length=5)
        [4, 5, 4, 5, 4]
    """
    return list(islice(cycle(content[: max(1, keep)]), length)) if content else []


def without_run(content: Sequence[int], run: Sequence[int]) -> list[int]:
    """Return a text without each occurrence of a run of tokens.

    Example:
        >>> without_run([4, 5, 6, 5], [5])
        [4, 6]
    """
    kept: list[int] = []
    at = 0
    while at < len(content):
        if tuple(content[at : at + len(run)]) == tuple(run):
            at += len(run)
        else:
            kept.append(content[at])
            at += 1
    return kept


def _row(row: list[int], special: set[int], rewrite: Rewrite, at: int) -> list[int]:
    text = [token for token in row if token != PADDING]
    words = [position for position, token in enumerate(text) if token not in special]
    if not words:
        return row
    head, content, tail = text[: words[0]], text[words[0] : words[-1] + 1], text[words[-1] + 1 :]
    changed = list(rewrite(at, content))[: len(row) - len(head) - len(tail)]
    padding = [PADDING] * (len(row) - len(head) - len(changed) - len(tail))
    is_left = row[0] == PADDING
    return [*(padding if is_left else ()), *head, *changed, *tail, *(() if is_left else padding)]
