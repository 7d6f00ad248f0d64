"""New tokens inserted into text inputs, whose length stays the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Insertion", "Place", "insert_tokens"]

Place = Callable[[int, Sequence[int]], int]
"""Chooses where to insert: row, and the positions at which a word begins or the text ends → one of these positions."""


@dataclass(frozen=True, eq=False)
class Insertion:
    """Texts with new tokens.

    Args:
        ids: ``[N, T]``.
        source: Where each token was before, ``int64 [N, T]``; for a new token the position of a neighbor, whose
            segment it belongs to.
        inserted: Which of the tokens are new, bool ``[N, T]``; none in a text that has no room for them.
        dropped: How many tokens were cut off at the end of each text, ``int64 [N]``.
    """

    ids: Tensor
    source: Tensor
    inserted: Tensor
    dropped: Tensor


def insert_tokens(
    ids: Tensor, new: Sequence[int], padding: Tensor, special: Tensor, begins: Tensor, place: Place
) -> Insertion:
    """Insert tokens into every text, between the special tokens at its ends.

    Padding makes room, on the right where there is some, else on the left. Where it does not suffice, the last tokens
    before the special ones at the end are dropped. A text in which too few tokens are left for that stays as it is.

    Args:
        ids: ``[N, T]``.
        new: The new tokens, at least one.
        padding: bool ``[N, T]``.
        special: Special tokens, bool ``[N, T]``.
        begins: Tokens before which something can be inserted: those that begin a word, bool ``[N, T]``.
        place: Where to insert.
    """
    rows = [
        _insert_into(
            _Layout.of(padding[row].tolist(), special[row].tolist()),
            len(new),
            begins[row].tolist(),
            partial(place, row),
        )
        for row in range(len(ids))
    ]
    source = torch.tensor([row.source for row in rows], device=ids.device)
    inserted = torch.tensor([row.inserted for row in rows], device=ids.device)
    repeated = ids.new_tensor(new).repeat(int(inserted.any(dim=1).sum()))
    return Insertion(
        ids=ids.gather(1, source).masked_scatter(inserted, repeated),
        source=source,
        inserted=inserted,
        dropped=torch.tensor([row.dropped for row in rows], device=ids.device),
    )


class _Row(NamedTuple):
    """One text of an `Insertion`."""

    source: list[int]
    inserted: list[bool]
    dropped: int


def _insert_into(layout: _Layout, count: int, begins: Sequence[bool], place: Callable[[Sequence[int]], int]) -> _Row:
    over = max(0, count - layout.room)
    if not layout.body or over > len(layout.content):
        return _Row(list(range(len(begins))), [False] * len(begins), 0)
    content = layout.content[: len(layout.content) - over]
    # A position is the number of tokens of the content that come before it.
    places = [before for before, position in enumerate(content) if begins[position]]
    return _Row(*layout.filled(content, place([*places, len(content)]), count), over)


@dataclass(frozen=True)
class _Layout:
    """The positions of one text: padding, special tokens, content, special tokens, padding."""

    left: list[int]
    head: list[int]
    content: list[int]
    tail: list[int]
    right: list[int]

    @classmethod
    def of(cls, padding: Sequence[bool], special: Sequence[bool]) -> _Layout:
        positions = [position for position, empty in enumerate(padding) if not empty]
        if not positions:
            return cls(list(range(len(padding))), [], [], [], [])
        first, last = positions[0], positions[-1]
        body = list(range(first, last + 1))
        words = [index for index, position in enumerate(body) if not special[position]]
        # Of nothing but special tokens the first one opens the text, and the others close it.
        start, stop = (words[0], words[-1] + 1) if words else (1, 1)
        return cls(list(range(first)), body[:start], body[start:stop], body[stop:], list(range(last + 1, len(padding))))

    @property
    def body(self) -> list[int]:
        return self.head + self.content + self.tail

    @property
    def room(self) -> int:
        return len(self.left) + len(self.right)

    def filled(self, content: list[int], at: int, count: int) -> tuple[list[int], list[bool]]:
        """Return the source of each position with ``count`` new tokens before ``content[at]``, and which are new."""
        neighbor = content[at - 1] if at else (content or self.head or self.tail or self.content)[0]
        from_right = min(count, len(self.right))
        # What was dropped from the content has made the rest of the room.
        spare = count - from_right - (len(self.content) - len(content))
        before = self.left[spare:] + self.head + content[:at]
        after = content[at:] + self.tail + self.right[from_right:]
        inserted = [False] * len(before) + [True] * count + [False] * len(after)
        return [*before, *[neighbor] * count, *after], inserted
