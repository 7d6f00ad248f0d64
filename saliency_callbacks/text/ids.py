"""Where a model's inputs hold the token ids of text inputs, and how the inputs follow when tokens are inserted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import CueError
from saliency_callbacks.text.insertion import Insertion

__all__ = ["ID_KEYS", "are_ids", "attention_mask_of", "entries_of", "ids_key", "keys_of_ids", "with_insertion"]

ID_KEYS = ("input_ids", "ids", "token_ids", "tokens")
"""Keys under which a dictionary holds the ids of the tokens, where it has several tensors of integers."""

_POSITIONS = "position_ids"
_SPECIAL_MASK = "special_tokens_mask"


def are_ids(value: Any) -> bool:
    """Return whether a value can be the ids of tokens: a tensor of integers ``[N, T]``."""
    if not isinstance(value, Tensor) or value.ndim != 2 or value.dtype == torch.bool:
        return False
    return not value.is_floating_point() and not value.is_complex()


def entries_of(inputs: Any) -> dict[Any, Any]:
    """Return the inputs of a model by key or position; none where they are neither mapping nor sequence."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return dict(enumerate(inputs)) if isinstance(inputs, list | tuple) else {}


def keys_of_ids(entries: Mapping[Any, Any]) -> list[Any]:
    """Return the keys of all entries that can be the ids of tokens."""
    return [key for key, value in entries.items() if are_ids(value)]


def ids_key(inputs: Any, attribute_to: int | str | None = None) -> int | str | None:
    """Return the key or position of the token ids ``[N, T]``; ``None`` where the inputs are one tensor of them.

    Raises:
        CueError: If there are none, or several tensors could be meant.
    """
    if isinstance(inputs, Tensor):
        if are_ids(inputs):
            return None
        found: list[Any] = []
    else:
        candidates = keys_of_ids(entries_of(inputs))
        usual = [key for key in ID_KEYS if key in candidates]
        named = [key for key in candidates if key == attribute_to]
        found = named if attribute_to is not None else usual[:1] or candidates
    if len(found) != 1:
        raise CueError(
            f"a word is inserted into token ids, but the probe's inputs are {describe(inputs)}; expected one tensor "
            f"of integers [N, T], alone or under one of the keys {', '.join(map(repr, ID_KEYS))}. Name it with "
            "`attribute_to=`"
        )
    key: int | str = found[0]
    return key


def attention_mask_of(inputs: Any, ids: Tensor) -> Tensor | None:
    """Return the tensor under ``attention_mask`` where the inputs have one ``[N, T]``."""
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    return mask if isinstance(mask, Tensor) and mask.shape == ids.shape else None


def with_insertion(inputs: Any, key: int | str | None, insertion: Insertion, padding: Tensor) -> Any:
    """Return inputs with tokens inserted, and all that goes with each token moved along.

    A new token is attended to, belongs to the segment of its neighbor, and is not special. Positions are counted
    anew from where they began. A tensor that holds the lengths of the text inputs follows.

    Args:
        inputs: A tensor, or a tuple or dictionary.
        key: Of the ids; ``None`` for a single tensor.
        insertion: What was done to the ids.
        padding: Which of the tokens were padding before, bool ``[N, T]``.

    Raises:
        CueError: If a tensor has a value for each pair of tokens, such as a mask ``[N, T, T]``.
    """
    if isinstance(inputs, Tensor):
        return insertion.ids
    changed = {name: _moved(name, value, insertion, padding) for name, value in entries_of(inputs).items()}
    changed[key] = insertion.ids
    return changed if isinstance(inputs, Mapping) else tuple(changed.values())


def _moved(name: Any, value: Any, insertion: Insertion, padding: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    size = insertion.ids.shape
    if value.shape == size:
        moved = value.gather(1, insertion.source.to(value.device))
        if name == _SPECIAL_MASK:
            return moved.masked_fill(insertion.inserted, 0)
        return _recounted(value, moved, insertion, padding) if name == _POSITIONS else moved
    if value.shape == size[:1] and not value.is_floating_point() and torch.equal(value, (~padding).sum(1).to(value)):
        return value + (insertion.inserted.sum(dim=1) - insertion.dropped).to(value)
    if value.ndim > 2 and value.shape[0] == size[0] and size[1] in value.shape[2:]:
        raise CueError(
            f"the input {name!r}, {describe(value)}, has values for pairs of tokens, which cannot be extended for an "
            "inserted word. Let the model derive it from an attention mask [N, T], and leave it out of the probe with "
            "Probe(unpack_batch=…)"
        )
    return value


def _recounted(positions: Tensor, moved: Tensor, insertion: Insertion, padding: Tensor) -> Tensor:
    """Return positions ``[N, T]`` that count the tokens of each text, from where they began; of padding as moved."""
    if torch.equal(positions, torch.arange(positions.shape[1]).expand_as(positions).to(positions)):
        return positions
    is_text = ~padding.gather(1, insertion.source) | insertion.inserted
    start = positions.gather(1, (~padding).int().argmax(dim=1, keepdim=True))
    return torch.where(is_text, start + is_text.cumsum(dim=1) - 1, moved).to(positions)
