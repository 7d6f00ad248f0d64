"""The text behind token ids: tokens, words, and which of them are special or padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import ProbeError, warn
from saliency_callbacks.functional.word_merging import WordReduction, merge_words, word_units
from saliency_callbacks.text.offsets import ExactWords
from saliency_callbacks.text.padding import find_padding
from saliency_callbacks.text.subwords import ids_of_words, join_pieces, scheme_of
from saliency_callbacks.text.vocabulary import Vocabulary

__all__ = ["TokenTexts", "WordFunction", "token_texts"]

WordFunction = Callable[[list[str]], Sequence[int | None]]
"""From the tokens of one text, without padding, to the word of each; ``None`` for a token that belongs to none."""

_NAMED_AT_MOST = 8


@dataclass(frozen=True, eq=False)
class TokenTexts:
    """The tokens and words of a batch of text inputs.

    A *unit* is what is shown and scored as one: a word, or a special token. Padding is no unit.

    Args:
        tokens: The tokens of each text, N rows of T.
        word_ids: The word of each token, counted from 0 in each text; ``None`` for special tokens and padding.
        words: The words of each text.
        special: Tokens that stand for no text, such as ``[CLS]``, and are no padding; bool ``[N, T]``.
        padding: bool ``[N, T]``.
        full: Texts that are as long as the tokenizer lets a text be, and so may have been cut; bool ``[N]``.

    Example:
        >>> texts = token_texts(["[PAD]", "[CLS]", "film", "##s"], torch.tensor([[1, 2, 3, 0]]))
        >>> texts.words, texts.special
        ((('films',),), tensor([[ True, False, False, False]]))
    """

    tokens: tuple[tuple[str, ...], ...]
    word_ids: tuple[tuple[int | None, ...], ...]
    words: tuple[tuple[str, ...], ...]
    special: Tensor
    padding: Tensor
    full: Tensor

    def merge(self, scores: Tensor, reduce: WordReduction = "sum") -> Tensor:
        """Return the score of each unit ``[N, W]`` from those of the tokens ``[N, T]``; see `merge_words`."""
        return merge_words(scores, self.word_ids, reduce, special=self.special)

    def units(self) -> list[list[str]]:
        """Return the units of each text in reading order, as :meth:`merge` counts them."""
        return [
            [row[start] if row_words[start] is None else words[row_words[start] or 0] for start, _ in spans]
            for row, row_words, words, spans in zip(self.tokens, self.word_ids, self.words, self._spans(), strict=True)
        ]

    def special_units(self) -> Tensor:
        """Return which of the units are special tokens, bool ``[N, W]``; false where a shorter row has no unit."""
        spans = self._spans()
        flags = torch.zeros(len(spans), max(map(len, spans), default=0), dtype=torch.bool)
        for sample, row in enumerate(spans):
            for unit, (start, _) in enumerate(row):
                flags[sample, unit] = self.special[sample, start]
        return flags

    def _spans(self) -> list[list[tuple[int, int]]]:
        return [word_units(ids, flags) for ids, flags in zip(self.word_ids, self.special.tolist(), strict=True)]


def token_texts(
    tokenizer: Any, input_ids: Tensor, attention_mask: Tensor | None = None, words: WordFunction | None = None
) -> TokenTexts:
    """Return the tokens and words behind token ids.

    Words are those of a fast Hugging Face tokenizer where the text leads back to the same ids, else they are told by
    the marks on the tokens (``##``, ``▁``, ``Ġ``, ``</w>``); without any mark every token is a word.

    Args:
        tokenizer: A Hugging Face tokenizer, fast or slow, or one of the package ``tokenizers``; a function
            ids → list of tokens; a list of tokens; a dictionary between tokens and ids, either way; or the dotted path
            of one of these.
        input_ids: ``[N, T]`` integers.
        attention_mask: ``[N, T]``, 0 for padding. Without it, the padding token at the ends of a text is padding.
        words: Tells the words instead of the tokenizer: called with the tokens of each text, padding left out, it
            returns the word of each token. Neighbors with the same number are one word; special tokens belong to none,
            whatever it says, and what it says ``None`` of is left out.

    Warns:
        SaliencyWarning: If a text is nothing but padding.

    Raises:
        ConfigurationError: If ``tokenizer`` is a dotted path under which there is nothing.
        ProbeError: If the ids are not ``[N, T]`` integers, do not fit the tokenizer's vocabulary or the mask,
            ``tokenizer`` is none of the above, or ``words`` does not return a number or ``None`` for each token.

    Example:
        >>> texts = token_texts(["[PAD]", "[CLS]", "film", "##s"], torch.tensor([[1, 2, 3, 0]]))
        >>> texts.units(), texts.merge(torch.tensor([[0.5, 1.0, 2.0, 0.0]]))
        ([['[CLS]', 'films']], tensor([[0.5000, 3.0000]]))
    """
    vocabulary = Vocabulary.of(tokenizer)
    _check_ids(input_ids, attention_mask, vocabulary)
    rows: list[list[int]] = input_ids.tolist()
    tokens = [_tokens(vocabulary, row) for row in rows]
    pads = _flagged(vocabulary.is_padding, rows, tokens)
    padding = find_padding(pads, None if attention_mask is None else attention_mask.cpu())
    _warn_of_empty(padding)
    special = _flagged(vocabulary.is_special, rows, tokens) & ~padding
    split = _Splitter(vocabulary, tokens)
    apart = (special | padding).tolist()
    if words is None:
        found = [split(row, texts, away) for row, texts, away in zip(rows, tokens, apart, strict=True)]
    else:
        told = [_told(words, *row) for row in zip(tokens, special.tolist(), padding.tolist(), strict=True)]
        found = [split.join(texts, ids) for texts, ids in zip(tokens, told, strict=True)]
    return TokenTexts(
        tokens=tuple(map(tuple, tokens)),
        word_ids=tuple(tuple(ids) for ids, _ in found),
        words=tuple(tuple(words) for _, words in found),
        special=special,
        padding=padding,
        full=(~padding).sum(dim=1) >= (vocabulary.longest or input_ids.shape[1] + 1),
    )


class _Splitter:
    """Splits the tokens of a text into words."""

    def __init__(self, vocabulary: Vocabulary, tokens: Sequence[Sequence[str]]) -> None:
        self._scheme = vocabulary.scheme or scheme_of(token for row in tokens for token in row)
        self._exact = ExactWords(vocabulary.source) if ExactWords.can_use(vocabulary.source) else None

    def __call__(
        self, ids: Sequence[int], tokens: Sequence[str], apart: Sequence[bool]
    ) -> tuple[list[int | None], list[str]]:
        """Return the word of each token, and the words."""
        word_ids: list[int | None] = [None] * len(ids)
        words: list[str] = []
        for start, stop in _stretches(apart):
            found, texts = self._stretch(ids[start:stop], tokens[start:stop])
            word_ids[start:stop] = [len(words) + word for word in found]
            words += texts
        return word_ids, words

    def join(self, tokens: Sequence[str], told: Sequence[int | None]) -> tuple[list[int | None], list[str]]:
        """Return the words that a user told, counted from 0, and each of them as text."""
        word_ids: list[int | None] = [None] * len(tokens)
        spans = word_units(told)
        for word, (start, stop) in enumerate(spans):
            word_ids[start:stop] = [word] * (stop - start)
        return word_ids, [join_pieces(tokens[start:stop], self._scheme) for start, stop in spans]

    def _stretch(self, ids: Sequence[int], tokens: Sequence[str]) -> tuple[list[int], list[str]]:
        exact = self._exact.split(ids) if self._exact is not None else None
        if exact is not None:
            return exact
        found = ids_of_words(tokens, [False] * len(tokens), self._scheme)
        words = [word for word in found if word is not None]
        return words, [join_pieces(tokens[start:stop], self._scheme) for start, stop in word_units(found)]


def _told(
    words: WordFunction, tokens: Sequence[str], special: Sequence[bool], padding: Sequence[bool]
) -> list[int | None]:
    """Return the word of each token of one text as a user's function tells; none of special tokens and padding."""
    positions = [position for position, is_padding in enumerate(padding) if not is_padding]
    text = [tokens[position] for position in positions]
    found = list(words(list(text)))
    if len(found) != len(text) or not all(word is None or isinstance(word, int) for word in found):
        raise ProbeError(
            f"words= returned {found} for the tokens {text}; expected a list of length {len(text)}: the index of each "
            "token's word, or None for tokens that belong to no word"
        )
    told: list[int | None] = [None] * len(tokens)
    for position, word in zip(positions, found, strict=True):
        told[position] = None if special[position] else word
    return told


def _stretches(apart: Sequence[bool]) -> list[tuple[int, int]]:
    """Return where neighboring tokens of text begin and end."""
    return word_units([None if away else 0 for away in apart])


def _check_ids(input_ids: Tensor, attention_mask: Tensor | None, vocabulary: Vocabulary) -> None:
    if input_ids.ndim != 2 or input_ids.numel() == 0 or input_ids.is_floating_point() or input_ids.is_complex():
        raise ProbeError(
            f"input_ids are {input_ids.dtype} {list(input_ids.shape)}; expected integers [N, T], the token ids of N "
            "text inputs"
        )
    if attention_mask is not None and attention_mask.shape != input_ids.shape:
        raise ProbeError(
            f"attention_mask has shape {list(attention_mask.shape)} for input_ids {list(input_ids.shape)}; expected "
            "the same shape, with 0 for padding"
        )
    low, high = int(input_ids.min()), int(input_ids.max())
    if low < 0 or (vocabulary.size is not None and high >= vocabulary.size):
        raise ProbeError(
            f"the probe's token ids range from {low} to {high}, but the tokenizer knows "
            f"{'none below 0' if vocabulary.size is None else f'0 to {vocabulary.size - 1}'}; expected the tokenizer "
            "that encoded the dataset. Ids such as -100 belong in labels, not in inputs"
        )


def _tokens(vocabulary: Vocabulary, ids: list[int]) -> list[str]:
    tokens = list(vocabulary.tokens_of(ids))
    if len(tokens) != len(ids):
        raise ProbeError(
            f"the tokenizer returned {len(tokens)} tokens for {len(ids)} ids; expected one token per id, as text"
        )
    for index, token in zip(ids, tokens, strict=True):
        if not isinstance(token, str):
            raise ProbeError(
                f"the tokenizer has no text for token id {index} (it returned {token!r}); expected the tokenizer that "
                "encoded the dataset"
            )
    return [token for token in tokens if token is not None]


def _flagged(is_so: Callable[[int, str], bool], ids: list[list[int]], tokens: list[list[str]]) -> Tensor:
    """Return of which tokens something holds, bool ``[N, T]``."""
    pairs = [zip(row, texts, strict=True) for row, texts in zip(ids, tokens, strict=True)]
    return torch.tensor([[is_so(index, token) for index, token in row] for row in pairs])


def _warn_of_empty(padding: Tensor) -> None:
    empty = padding.all(dim=1).nonzero()[:, 0].tolist()
    if empty:
        named = ", ".join(map(str, empty[:_NAMED_AT_MOST])) + (", …" if len(empty) > _NAMED_AT_MOST else "")
        warn(
            "empty text inputs",
            f"the probe contains {counted(len(empty), 'text input')} of nothing but padding (samples {named}), which "
            "cannot be explained. Leave out empty text inputs with Probe(indices=…)",
            stacklevel=2,
        )
