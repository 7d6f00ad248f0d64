"""Where words begin among sub-word tokens, told by the marks that tokenizers put on them.

=====================  ============================  ==================================
Scheme                 Mark                          Tokens of "the films"
=====================  ============================  ==================================
WordPiece              ``##`` continues a word       ``the``, ``film``, ``##s``
SentencePiece          ``▁`` begins a word           ``▁the``, ``▁film``, ``s``
byte-level BPE         ``Ġ`` begins a word           ``the``, ``Ġfilm``, ``s``
BPE with an end mark   ``</w>`` ends a word          ``the</w>``, ``film``, ``s</w>``
none                   every token is a word         ``the``, ``films``
=====================  ============================  ==================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

__all__ = ["Scheme", "ids_of_words", "join_pieces", "scheme_of"]

Scheme = Literal["wordpiece", "sentencepiece", "byte_level", "end_mark", "words"]

_CONTINUES = "##"
_SENTENCEPIECE = "▁"
# Byte-level BPE writes the bytes of a space, a line feed, a carriage return and a tab as these letters.
_BYTE_LEVEL_SPACES = ("Ġ", "Ċ", "č", "ĉ")
_ENDS = "</w>"


def scheme_of(tokens: Iterable[str]) -> Scheme:
    """Tell how tokens are marked: by a vocabulary, or by the tokens of some text inputs.

    Example:
        >>> scheme_of(["the", "film", "##s"])
        'wordpiece'
    """
    found: set[Scheme] = set()
    for token in tokens:
        if token.startswith(_SENTENCEPIECE):
            found.add("sentencepiece")
        elif token.startswith(_BYTE_LEVEL_SPACES[0]):
            found.add("byte_level")
        elif token.endswith(_ENDS) and token != _ENDS:
            found.add("end_mark")
        elif token.startswith(_CONTINUES) and token != _CONTINUES:
            found.add("wordpiece")
    # A vocabulary of bytes or of sentence pieces may hold "##" as a piece of its own, so that one comes last.
    schemes: tuple[Scheme, ...] = ("sentencepiece", "byte_level", "end_mark", "wordpiece")
    return next((scheme for scheme in schemes if scheme in found), "words")


def ids_of_words(tokens: Sequence[str], apart: Sequence[bool], scheme: Scheme) -> list[int | None]:
    """Return the word of each token of one text, counted from 0.

    Args:
        tokens: The tokens.
        apart: Whether a token belongs to no word: it is special, or padding.
        scheme: How words are marked.

    Example:
        >>> ids_of_words(["[CLS]", "film", "##s", "."], [True, False, False, False], "wordpiece")
        [None, 0, 0, 1]
    """
    words: list[int | None] = []
    current = -1
    begins = True
    for token, is_apart in zip(tokens, apart, strict=True):
        if is_apart:
            words.append(None)
            begins = True
            continue
        current += begins or _begins(token, scheme)
        words.append(current)
        begins = scheme == "end_mark" and token.endswith(_ENDS)
    return words


def join_pieces(tokens: Sequence[str], scheme: Scheme) -> str:
    """Return the text of one word.

    Example:
        >>> join_pieces(["Ġcaf", "Ã©"], "byte_level")
        'café'
    """
    if scheme == "wordpiece":
        return "".join(token.removeprefix(_CONTINUES) if position else token for position, token in enumerate(tokens))
    whole = "".join(tokens)
    if scheme == "sentencepiece":
        return whole.replace(_SENTENCEPIECE, " ").strip()
    if scheme == "end_mark":
        return whole.replace(_ENDS, "")
    if scheme == "byte_level":
        return _from_bytes(whole).strip(" ")
    return whole


def _begins(token: str, scheme: Scheme) -> bool:
    if scheme == "wordpiece":
        return not token.startswith(_CONTINUES)
    if scheme == "sentencepiece":
        return token.startswith(_SENTENCEPIECE)
    if scheme == "byte_level":
        return token.startswith(_BYTE_LEVEL_SPACES)
    return scheme == "words"


def _from_bytes(letters: str) -> str:
    table = _byte_of_letter()
    if not all(letter in table for letter in letters):
        return letters
    return bytes(table[letter] for letter in letters).decode(errors="replace")


@lru_cache(maxsize=1)
def _byte_of_letter() -> dict[str, int]:
    """Return the byte for which each letter of a byte-level vocabulary stands.

    Printable bytes stand for themselves; the others are numbered from U+0100 in their order.
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}
