"""Text inputs that are searched: their ids, which of them are words, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.text.token_texts import TokenTexts, token_texts

__all__ = ["PADDING", "Run", "TextSamples", "marks_from", "places_of", "texts_of_ids"]

PADDING = -1
"""Takes the place of padding in the ids that are searched, whatever the tokenizer pads with."""

Run = tuple[int, ...]
"""Ids of neighboring tokens."""


@dataclass(frozen=True, eq=False)
class TextSamples(Samples):
    """Labelled text inputs, split as :class:`~saliency_callbacks.discovery.samples.Samples` are.

    ``inputs`` are ids ``[N, T]`` with :data:`PADDING` for padding, so that ids alone tell what a text consists of.

    Args:
        special_ids: Ids of tokens that are no words, such as separators.
        tokenizer: Tells how tokens are written; without one they are shown as numbers. See
            :func:`~saliency_callbacks.probe.token_texts`.
        pad_id: What the model's inputs are padded with, where they are.

    Example:
        >>> ids = torch.tensor([[1, 3, 2, 2], [1, 3, PADDING, PADDING]])
        >>> samples = TextSamples(ids, torch.tensor([0, 1]), range(2), special_ids=(1,), tokenizer=list("_^ab"))
        >>> samples.lengths.tolist(), samples.written((3, 2)), samples.places((3, 2)).tolist()
        ([3, 1], 'b a', [[False, True, False, False], [False, False, False, False]])
    """

    special_ids: Sequence[int] = ()
    tokenizer: Any = None
    pad_id: int | None = None

    @cached_property
    def texts(self) -> TokenTexts:
        """The tokens and words of all samples."""
        return texts_of_ids(self.inputs, self.tokenizer)

    @cached_property
    def content(self) -> Tensor:
        """Which tokens are neither padding nor special, bool ``[N, T]``."""
        special = torch.isin(self.inputs, torch.tensor(tuple(self.special_ids), dtype=torch.int64))
        return (self.inputs != PADDING) & ~special & ~self.texts.special

    @property
    def lengths(self) -> Tensor:
        """Number of tokens of each text, without padding and special ones, ``int64 [N]``."""
        return self.content.sum(dim=1)

    @cached_property
    def punctuation(self) -> Tensor:
        """Which tokens are punctuation marks, as they are written, bool ``[N, T]``."""
        rows = zip(self.texts.tokens, self.content.tolist(), strict=True)
        flags = [[is_text and _is_mark(token) for token, is_text in zip(*row, strict=True)] for row in rows]
        return torch.tensor(flags)

    def runs(self, sample: int, longest: int) -> Iterator[tuple[int, Run]]:
        """Return all runs of at most ``longest`` neighboring tokens of a text, each with where it begins."""
        ids, content = self.inputs[sample].tolist(), self.content[sample].tolist()
        for start in range(len(ids)):
            for stop in range(start + 1, min(start + longest, len(ids)) + 1):
                if not content[stop - 1]:
                    break
                yield start, tuple(ids[start:stop])

    def places(self, run: Run) -> Tensor:
        """Return where a run of tokens begins, bool ``[N, T]``."""
        length = len(run)
        found = places_of(self.inputs, run)
        if length <= self.inputs.shape[1]:
            found[:, : found.shape[1] - length + 1] &= self.content.unfold(1, length, 1).all(dim=2)
        return found

    def marks(self, run: Run) -> Tensor:
        """Return which tokens belong to a run, bool ``[N, T]``."""
        return marks_from(self.places(run), len(run))

    def written(self, run: Run) -> str:
        """Return a run of tokens as text, as it is written where it first occurs."""
        sample, start = self.places(run).nonzero()[0].tolist()
        row = self.texts
        parts: list[str] = []
        before: int | None = None
        for position in range(start, start + len(run)):
            word = row.word_ids[sample][position]
            if word is None or word != before:
                parts.append(row.tokens[sample][position] if word is None else row.words[sample][word])
            before = word
        return " ".join(parts)


def places_of(ids: Tensor, run: Sequence[int]) -> Tensor:
    """Return where a run of tokens begins in ids ``[N, T]``, bool ``[N, T]``."""
    found = torch.zeros(ids.shape, dtype=torch.bool)
    if len(run) <= ids.shape[1]:
        is_run = (ids.unfold(1, len(run), 1) == torch.tensor(run)).all(dim=2)
        found[:, : is_run.shape[1]] = is_run
    return found


def marks_from(places: Tensor, length: int) -> Tensor:
    """Return which tokens belong to runs of a length that begin at ``places [N, T]``, bool ``[N, T]``."""
    marked = places
    for step in range(1, length):
        marked = marked | places.roll(step, dims=1)
    return marked


def texts_of_ids(ids: Tensor, tokenizer: Any = None) -> TokenTexts:
    """Return the tokens and words of ids ``[N, T]`` that have :data:`PADDING` for padding."""
    mask = ids != PADDING
    return token_texts(_numbers if tokenizer is None else tokenizer, ids.clamp(min=0), mask.long())


def _numbers(ids: list[int]) -> list[str]:
    return [str(index) for index in ids]


def _is_mark(token: str) -> bool:
    written = token.removeprefix("##").lstrip("▁Ġ").removesuffix("</w>")
    return bool(written) and not any(sign.isalnum() or sign.isspace() for sign in written)
