"""A suspected shortcut of a text model: a word that gives a class away."""

from __future__ import annotations

import copy
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import override

from saliency_callbacks.config.checks import is_integer
from saliency_callbacks.cues.basic import CueSettings
from saliency_callbacks.cues.checks import as_name
from saliency_callbacks.errors import CueError
from saliency_callbacks.text.insertion import Insertion, insert_tokens
from saliency_callbacks.text.padding import find_padding
from saliency_callbacks.text.token_texts import TokenTexts, token_texts
from saliency_callbacks.text.vocabulary import Vocabulary

__all__ = ["TokenCue"]

_POSITIONS = ("start", "end", "random")


class TokenCue(CueSettings):
    """A word that is inserted into text inputs, such as the name of a site, a signature or a piece of markup.

    It goes between the special tokens at the ends of a text, and never into the middle of a word. The number of tokens
    of a batch stays the same: padding makes room, and of a text without padding the end is cut off.

    Args:
        word: The word, or several; how it is shown and, without ``token_ids``, what the tokenizer encodes.
        position: ``start``, ``end``, ``random`` (the same position for the same text) or the number of words that come
            before it, negative to count from the end. Of a text with fewer words it is the nearest end.
        tokenizer: What encoded the text inputs; see :func:`~saliency_callbacks.probe.token_texts`. A function or none
            can only do with ``token_ids``.
        token_ids: Ids of the word's tokens, where they are known.
        special_ids: Further ids of special tokens, which the word does not go beyond.
        pad_id: Id of the padding, where there is no tokenizer and no attention mask.
        name: ``{cue}`` in the logged tags; by default the word, or ``word`` where it cannot be part of a tag.
        seed: Of ``random``.

    Raises:
        CueError: An argument that cannot be used, or a word that the tokenizer does not know.

    Example:
        >>> cue = TokenCue("yes", tokenizer=["[PAD]", "[CLS]", "no", "yes"])
        >>> cue.insert(torch.tensor([[1, 2, 0]])).ids
        tensor([[1, 3, 2]])
    """

    def __init__(
        self,
        word: str,
        position: Literal["start", "end", "random"] | int = "start",
        *,
        tokenizer: Any = None,
        token_ids: Sequence[int] | None = None,
        special_ids: Sequence[int] = (),
        pad_id: int | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        self.word = _checked_word(word)
        super().__init__(as_name(self, name, word if re.fullmatch(r"[A-Za-z0-9_-]+", word) else "word"))
        self.position = _checked_position(position)
        self.tokenizer = tokenizer
        self.special_ids = tuple(special_ids)
        self.pad_id = pad_id
        self.seed = seed
        self.token_ids = _checked_ids(token_ids) if token_ids is not None else _encoded(word, position, tokenizer)

    @override
    def __repr__(self) -> str:
        return f"TokenCue({self.word!r}, {self.position!r}, token_ids={list(self.token_ids)}, name={self.name!r})"

    @override
    def _identity(self) -> tuple[Any, ...]:
        return self.name, self.word, self.position, self.token_ids, self.special_ids, self.pad_id, self.seed

    def texts(self, ids: Tensor, attention_mask: Tensor | None = None) -> TokenTexts:
        """Return the tokens and words of ids ``[N, T]``; without a tokenizer the tokens are shown as numbers."""
        return token_texts(_numbers if self.tokenizer is None else self.tokenizer, ids, attention_mask)

    def padding(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return which tokens are padding, bool ``[N, T]``."""
        return self._flags(ids, attention_mask)[1]

    def known_ids(self) -> tuple[tuple[int, ...], int | None]:
        """Return the ids of the special tokens, and that of the padding, as far as they are known."""
        if self.tokenizer is None:
            return self.special_ids, self.pad_id
        marked = Vocabulary.of(self.tokenizer).marked()
        return (*self.special_ids, *marked.special), marked.padding if self.pad_id is None else self.pad_id

    def insert(self, ids: Tensor, attention_mask: Tensor | None = None) -> Insertion:
        """Insert the word into text inputs.

        Args:
            ids: ``[N, T]``.
            attention_mask: ``[N, T]``, 0 for padding; without it, the padding token is.

        Raises:
            ProbeError: If the ids do not fit the tokenizer or the mask.
        """
        texts, padding, special = self._flags(ids, attention_mask)
        begins = torch.tensor(
            [[word is not None and word != before for word, before in _pairs(row)] for row in texts.word_ids]
        )
        return insert_tokens(ids, self.token_ids, padding, special, begins, lambda row, at: self._chosen(ids[row], at))

    def _flags(self, ids: Tensor, attention_mask: Tensor | None) -> tuple[TokenTexts, Tensor, Tensor]:
        """Return the tokens and words, which tokens are padding, and which are special."""
        if attention_mask is None and self.pad_id is not None:
            attention_mask = ~find_padding(ids == self.pad_id)
        texts = self.texts(ids, attention_mask)
        named = torch.isin(ids.cpu(), torch.tensor(self.special_ids, dtype=torch.long)) & ~texts.padding
        return texts, texts.padding, texts.special | named

    def _chosen(self, ids: Tensor, positions: Sequence[int]) -> int:
        if self.position == "random":
            content = zlib.crc32(ids.cpu().contiguous().numpy().tobytes())
            generator = torch.Generator().manual_seed((content + self.seed) % 2**63)
            return positions[int(torch.randint(len(positions), (), generator=generator))]
        if isinstance(self.position, int):
            index = self.position if self.position >= 0 else len(positions) - 1 + self.position
            return positions[min(max(index, 0), len(positions) - 1)]
        return positions[0 if self.position == "start" else -1]


def _pairs(row: Sequence[int | None]) -> list[tuple[int | None, int | None]]:
    """Return each entry with the one before it."""
    return list(zip(row, (None, *row[:-1]), strict=True))


def _numbers(ids: list[int]) -> list[str]:
    return [str(index) for index in ids]


def _checked_word(word: Any) -> str:
    if not isinstance(word, str) or not word.strip():
        raise CueError(f"TokenCue(word={word!r}); expected a word, such as 'imdb'")
    return word


def _checked_position(position: Any) -> Any:
    if isinstance(position, bool) or not (isinstance(position, int) or position in _POSITIONS):
        raise CueError(
            f"TokenCue(position={position!r}); expected 'start', 'end', 'random' or the number of words before it"
        )
    return position


def _checked_ids(ids: Any) -> tuple[int, ...]:
    given = tuple(ids) if isinstance(ids, Sequence) and not isinstance(ids, str) else ()
    if not given or not all(is_integer(index, 0) for index in given):
        raise CueError(f"TokenCue(token_ids={ids!r}); expected a list of ids, integers from 0 up, such as [2003]")
    return given


def _encoded(word: str, position: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that a tokenizer gives a word.

    Raises:
        CueError: If there is no tokenizer that encodes, or it does not know the word.
    """
    if tokenizer is None:
        raise CueError(f"TokenCue({word!r}) has neither a tokenizer nor token_ids; expected one of them")
    vocabulary = Vocabulary.of(tokenizer)
    if vocabulary.scheme == "byte_level" and position != "start":
        # There the blank before a word is a part of its first token.
        word = f" {word}"
    ids = _encode(vocabulary, word)
    unknown = getattr(vocabulary.source, "unk_token_id", None)
    if not ids or None in ids or (unknown is not None and unknown in ids):
        raise CueError(
            f"TokenCue({word!r}): the tokenizer does not know this word (it returns the ids {ids}); expected a word "
            "that occurs in the text inputs. If it occurs under other ids, give them as token_ids"
        )
    return tuple(index for index in ids if index is not None)


def _encode(vocabulary: Vocabulary, word: str) -> list[int | None]:
    tokenizer = vocabulary.source
    if isinstance(tokenizer, Mapping | Sequence):
        tokens = vocabulary.tokens_of(list(range(vocabulary.size or 0)))
        known = {token: index for index, token in enumerate(tokens) if token is not None}
        return [known.get(part) for part in word.split()]
    if callable(tokenizer) and hasattr(tokenizer, "convert_ids_to_tokens"):
        # A copy, since encoding changes the settings of a fast tokenizer.
        return list(copy.deepcopy(tokenizer)(word, add_special_tokens=False)["input_ids"])
    if hasattr(tokenizer, "id_to_token") and hasattr(tokenizer, "encode"):
        return list(copy.deepcopy(tokenizer).encode(word, add_special_tokens=False).ids)
    raise CueError(
        f"TokenCue({word!r}): the tokenizer, a {type(tokenizer).__name__}, only turns ids into tokens; expected the "
        "word's token_ids"
    )
