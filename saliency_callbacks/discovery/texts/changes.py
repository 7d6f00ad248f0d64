"""What is done to texts: tokens taken out, and their length or number of punctuation marks changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from saliency_callbacks.config.wording import counted
from saliency_callbacks.discovery.texts.rewriting import repeated, rewritten, without_run
from saliency_callbacks.errors import CueError

__all__ = ["DeletedTokens", "FittedLength", "FittedPunctuation"]


@dataclass(frozen=True, eq=False)
class DeletedTokens:
    """A run of tokens that is taken out of texts, wherever it stands.

    Args:
        token_ids: The tokens.
        text: How they are written.
        special_ids: Ids of special tokens.

    Example:
        >>> import torch
        >>> DeletedTokens((5,), "five")(torch.tensor([[4, 5, 6]])).tolist()
        [[4, 6, -1]]
    """

    token_ids: tuple[int, ...]
    text: str
    special_ids: tuple[int, ...] = ()

    def __call__(self, ids: Tensor) -> Tensor:
        """Take the tokens out of ids ``[N, T]`` that have :data:`~.samples.PADDING` for padding."""
        return rewritten(ids, self.special_ids, lambda row, content: without_run(content, self.token_ids))

    def to_cue(self, name: str) -> Any:
        """Raise a :class:`~saliency_callbacks.errors.CueError`: a word that is missing cannot be inserted."""
        raise _no_cue(name, f"that “{self.text}” is missing")


@dataclass(frozen=True, eq=False)
class FittedLength:
    """Texts of one length: longer ones are cut, shorter ones said again from their beginning.

    Args:
        length: Number of tokens, special ones left out.
        special_ids: Ids of special tokens.

    Example:
        >>> import torch
        >>> FittedLength(2)(torch.tensor([[4, 5, 6], [7, -1, -1]])).tolist()
        [[4, 5, -1], [7, 7, -1]]
    """

    length: int
    special_ids: tuple[int, ...] = ()

    def __call__(self, ids: Tensor) -> Tensor:
        """Fit ids ``[N, T]`` that have :data:`~.samples.PADDING` for padding."""
        return rewritten(ids, self.special_ids, lambda row, content: repeated(content, len(content), self.length))

    def control(self, ids: Tensor) -> Tensor:
        """Return texts that lose or repeat words as fitted ones do, and keep their length."""
        return rewritten(
            ids, self.special_ids, lambda row, content: repeated(content, self._kept(content), len(content))
        )

    def to_cue(self, name: str) -> Any:
        """Raise a :class:`~saliency_callbacks.errors.CueError`: a length is no word."""
        raise _no_cue(name, f"a length of {self.length} tokens")

    def _kept(self, content: Sequence[int]) -> int:
        return self.length if self.length < len(content) else (len(content) + 1) // 2


@dataclass(frozen=True, eq=False)
class FittedPunctuation:
    """Texts with one number of punctuation marks: the last ones are taken out, or more are put at the end.

    Args:
        count: How many.
        mark: Id of what is put at the end.
        marks: Ids of all punctuation marks.
        special_ids: Ids of special tokens.

    Example:
        >>> import torch
        >>> FittedPunctuation(1, mark=9, marks=(8, 9))(torch.tensor([[4, 8, 9], [5, -1, -1]])).tolist()
        [[4, 8, -1], [5, 9, -1]]
    """

    count: int
    mark: int
    marks: tuple[int, ...]
    special_ids: tuple[int, ...] = ()

    def __call__(self, ids: Tensor) -> Tensor:
        """Change ids ``[N, T]`` that have :data:`~.samples.PADDING` for padding."""
        return rewritten(ids, self.special_ids, lambda row, content: self._fitted(content))

    def control(self, ids: Tensor) -> Tensor:
        """Return texts that lose as many words, or gain as many of their own, in place of punctuation marks."""
        return rewritten(ids, self.special_ids, lambda row, content: self._controlled(content))

    def to_cue(self, name: str) -> Any:
        """Raise a :class:`~saliency_callbacks.errors.CueError`: a number of marks is no word."""
        raise _no_cue(name, counted(self.count, "punctuation mark"))

    def _fitted(self, content: list[int]) -> list[int]:
        at = [position for position, token in enumerate(content) if token in self.marks]
        dropped = {*at[self.count :]}
        kept = [token for position, token in enumerate(content) if position not in dropped]
        return kept + [self.mark] * (self.count - len(at))

    def _controlled(self, content: list[int]) -> list[int]:
        words = [position for position, token in enumerate(content) if token not in self.marks]
        surplus = len(content) - len(words) - self.count
        dropped = {*words[len(words) - surplus :]} if surplus > 0 else set()
        kept = [token for position, token in enumerate(content) if position not in dropped]
        return kept + repeated([content[position] for position in words], len(words), -surplus) if surplus < 0 else kept


def _no_cue(name: str, what: str) -> CueError:
    return CueError(
        f"the suspicion {name!r} is {what}, which cannot be inserted into a text as a cue; expected a suspicion of a "
        "word. Every search tests it anyway"
    )
