"""Whatever turns token ids into tokens, behind one interface.

No tokenizer package is imported: what a tokenizer can do is told by its methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.text.subwords import Scheme, scheme_of

__all__ = ["MarkedIds", "Vocabulary"]

_EXPECTED = (
    "a tokenizer (with `convert_ids_to_tokens` or `id_to_token`), a function ids -> list of tokens, a list of tokens, "
    "a dictionary between tokens and ids, or an object with `pad_token_id`, `mask_token_id` or `all_special_ids`"
)
# Where the tokenizer does not say which tokens are special. That of an unknown word is not: it stands for a word.
_SPECIAL = re.compile(
    r"\[(cls|sep|pad|mask|bos|eos)\]|</?s>|<(pad|bos|eos|cls|sep|mask|blank)>|<\|[^|]*\|>", re.IGNORECASE
)
_PADDING = re.compile(r"\[pad\]|<pad>|<blank>|<\|pad\|>", re.IGNORECASE)
_MASK = re.compile(r"\[mask\]|<mask>|<\|mask\|>", re.IGNORECASE)
# An object with any of these tells of its ids as the tokenizers of Hugging Face do.
_TOLD = ("pad_token_id", "mask_token_id", "all_special_ids")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A tokenizer's knowledge of single tokens.

    Args:
        source: What was given: a tokenizer, a function, a list or a dictionary.
        tokens_of: Ids to tokens; ``None`` for an id that is not known.
        size: Number of ids; ``None`` where that is not known.
        special_ids: Ids of special tokens; ``None`` where they have to be told by their looks.
        padding_id: Id of the padding; ``None`` where there is none.
        mask_id: Id of the token that stands for a missing word; ``None`` where there is none.
        scheme: How words are marked; ``None`` where it has to be inferred from text inputs.
        longest: Most tokens of a text; ``None`` where there is no limit.
    """

    source: Any
    tokens_of: Callable[[list[int]], Sequence[str | None]]
    size: int | None
    special_ids: frozenset[int] | None
    padding_id: int | None
    mask_id: int | None
    scheme: Scheme | None
    longest: int | None = None

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """Find out what a tokenizer can do.

        Raises:
            ConfigurationError: If it is a dotted path under which there is nothing.
            ProbeError: If it is none of those that are known.
        """
        tokenizer = resolve_object("tokenizer", tokenizer)
        if callable(getattr(tokenizer, "convert_ids_to_tokens", None)):
            return _of_hugging_face(tokenizer)
        if callable(getattr(tokenizer, "id_to_token", None)):
            return _of_backend(tokenizer)
        if any(hasattr(tokenizer, name) for name in _TOLD):
            return _of_hugging_face(tokenizer)
        if isinstance(tokenizer, Mapping) and tokenizer:
            return _of_table(tokenizer, _by_id(tokenizer))
        if isinstance(tokenizer, Sequence) and all(isinstance(token, str) for token in tokenizer) and tokenizer:
            return _of_table(tokenizer, dict(enumerate(tokenizer)))
        if callable(tokenizer):
            return cls(tokenizer, tokenizer, None, None, None, None, None)
        raise ProbeError(f"tokenizer is of type {type(tokenizer).__name__}; expected {_EXPECTED}")

    def is_special(self, token_id: int, token: str) -> bool:
        """Whether a token is a special one, such as ``[CLS]``, and not a piece of text."""
        if self.special_ids is not None:
            return token_id in self.special_ids
        return _SPECIAL.fullmatch(token) is not None

    def is_padding(self, token_id: int, token: str) -> bool:
        """Whether a token is the padding's."""
        if self.special_ids is not None or self.padding_id is not None:
            return token_id == self.padding_id
        return _PADDING.fullmatch(token) is not None

    def marked(self, ids: Sequence[int] | None = None) -> MarkedIds:
        """Return which ids stand for no text, as far as they are known.

        Args:
            ids: Where to look for them if the tokenizer does not name them; by default in its whole vocabulary, of
                which a function tells nothing.
        """
        if self.special_ids is not None:
            return MarkedIds(tuple(sorted(self.special_ids)), self.padding_id, self.mask_id)
        looked_at = list(range(self.size or 0) if ids is None else ids)
        pairs = zip(looked_at, self.tokens_of(looked_at) if looked_at else (), strict=True)
        tokens = {index: token for index, token in pairs if isinstance(token, str)}
        padding = (index for index, token in tokens.items() if self.is_padding(index, token))
        mask = (index for index, token in tokens.items() if _MASK.fullmatch(token))
        return MarkedIds(
            special=tuple(index for index, token in tokens.items() if self.is_special(index, token)),
            padding=next(padding, self.padding_id),
            mask=next(mask, self.mask_id),
        )


@dataclass(frozen=True)
class MarkedIds:
    """Ids that stand for no text.

    Args:
        special: Those of special tokens, the padding among them.
        padding: That of the padding; ``None`` where none is known.
        mask: That of the token that stands for a missing word; ``None`` where none is known.
    """

    special: tuple[int, ...]
    padding: int | None
    mask: int | None


def _of_hugging_face(tokenizer: Any) -> Vocabulary:
    special = getattr(tokenizer, "all_special_ids", None)
    known = tokenizer.get_vocab() if callable(getattr(tokenizer, "get_vocab", None)) else None
    longest = getattr(tokenizer, "model_max_length", None)
    return Vocabulary(
        source=tokenizer,
        tokens_of=getattr(tokenizer, "convert_ids_to_tokens", _no_tokens),
        # By the largest id, since a vocabulary may have holes.
        size=max(known.values()) + 1 if known else None,
        # A word that the tokenizer does not know is still a word.
        special_ids=None if special is None else frozenset(special) - {getattr(tokenizer, "unk_token_id", None)},
        padding_id=getattr(tokenizer, "pad_token_id", None),
        mask_id=getattr(tokenizer, "mask_token_id", None),
        scheme=None if known is None else scheme_of(known),
        # Tokenizers without a limit have one of 10^30.
        longest=longest if isinstance(longest, int) and longest < 10**9 else None,
    )


def _no_tokens(ids: Sequence[int]) -> list[None]:
    return [None] * len(ids)


def _of_backend(tokenizer: Any) -> Vocabulary:
    known = tokenizer.get_vocab()
    return Vocabulary(
        source=tokenizer,
        tokens_of=lambda ids: [tokenizer.id_to_token(index) for index in ids],
        size=max(known.values()) + 1,
        special_ids=None,
        padding_id=_first(_PADDING, known),
        mask_id=_first(_MASK, known),
        scheme=scheme_of(known),
    )


def _by_id(table: Mapping[Any, Any]) -> dict[int, str]:
    """Return id → token of a dictionary that may run the other way."""
    pairs = list(table.items())
    if all(isinstance(key, str) and isinstance(value, int) for key, value in pairs):
        return {index: token for token, index in pairs}
    if all(isinstance(key, int) and isinstance(value, str) for key, value in pairs):
        return dict(pairs)
    kinds = {f"{type(key).__name__} to {type(value).__name__}" for key, value in pairs}
    raise ProbeError(
        f"tokenizer is a dictionary of {', '.join(sorted(kinds))}; expected a dictionary {{token: id}} or {{id: token}}"
    )


def _of_table(source: Any, table: dict[int, str]) -> Vocabulary:
    ids = {token: index for index, token in table.items()}
    return Vocabulary(
        source=source,
        tokens_of=lambda ids: [table.get(index) for index in ids],
        size=max(table) + 1,
        special_ids=None,
        padding_id=_first(_PADDING, ids),
        mask_id=_first(_MASK, ids),
        scheme=scheme_of(table.values()),
    )


def _first(look: re.Pattern[str], ids: Mapping[str, int]) -> int | None:
    """Return the lowest id of a token that looks so."""
    return min((index for token, index in ids.items() if look.fullmatch(token)), default=None)
