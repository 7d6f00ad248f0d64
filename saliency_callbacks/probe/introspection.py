"""Walks through wrapped datasets and nested transforms, bounded in depth and safe against cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["attribute", "inner_datasets", "length", "levels"]

_MAX_DEPTH = 16


def attribute(owner: Any, name: str) -> Any:
    """Return an attribute, or ``None`` where there is none or a property of that name raises anything.

    What a dataset tells about itself is a convenience: a property that is not implemented must not end a training.
    """
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def length(owner: Any) -> int | None:
    """Return ``len(owner)``, or ``None`` where there is none."""
    try:
        return len(owner)
    except Exception:
        return None


def inner_datasets(dataset: Any) -> list[Any]:
    """Return the datasets that ``dataset`` wraps, by the names that wrappers give them.

    ``.dataset`` (``torch.utils.data.Subset`` and most wrappers), ``.subset`` and ``.datasets``
    (``ConcatDataset``, ``StackDataset``, ``ChainDataset``).
    """
    inner = [attribute(dataset, name) for name in ("dataset", "subset")]
    several = attribute(dataset, "datasets")
    if isinstance(several, Mapping):
        inner.extend(several.values())
    elif isinstance(several, list | tuple):
        inner.extend(several)
    return [each for each in inner if each is not None]


def levels(root: Any, children: Callable[[Any], list[Any]]) -> Iterator[list[Any]]:
    """Yield what is reachable from ``root`` level by level, each object once, at most 16 levels deep."""
    level = [root]
    # The objects themselves are kept, not only their ids: a property may create its value anew on each
    # access, and the id of a collected object is given to another.
    seen: dict[int, Any] = {}
    for _ in range(_MAX_DEPTH):
        level = [each for each in {id(each): each for each in level}.values() if id(each) not in seen]
        if not level:
            return
        seen.update((id(each), each) for each in level)
        yield level
        level = [child for each in level for child in children(each)]
