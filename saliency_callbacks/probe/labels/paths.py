"""Where a part of a batch is, as a user writes it: ``2``, ``"label"`` or ``"target.label"``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saliency_callbacks.config.fields import fields_of

__all__ = ["entry_at", "first_missing", "keys_to"]


def keys_to(value: Any, path: int | str) -> tuple[Any, ...] | None:
    """Return the keys and positions that lead to a part; ``None`` where there is none.

    Args:
        value: A batch or an item: tuples, lists, mappings and objects with named parts, nested in any way.
        path: A position, a name, or several of them with dots between; names may have dots of their own.
    """
    return _keys(value, _steps(path))


def entry_at(value: Any, keys: Sequence[Any]) -> Any:
    """Return the part that :func:`keys_to` leads to."""
    for key in keys:
        fields = fields_of(value)
        value = fields[key] if fields is not None and key in fields else value[key]
    return value


def first_missing(value: Any, path: int | str) -> int | str:
    """Return the step of a path at which there is nothing."""
    steps = _steps(path)
    return next(step for place, step in enumerate(steps) if _keys(value, steps[: place + 1]) is None)


def _steps(path: int | str) -> list[int | str]:
    return [path] if isinstance(path, int) else list(path.split("."))


def _keys(value: Any, steps: Sequence[int | str]) -> tuple[Any, ...] | None:
    if not steps:
        return ()
    for end in range(len(steps), 0, -1):
        # A name with dots is nearer than what it would lead to without.
        step = steps[0] if end == 1 else ".".join(map(str, steps[:end]))
        for key in _key(value, step):
            rest = _keys(entry_at(value, (key,)), steps[end:])
            if rest is not None:
                return (key, *rest)
    return None


def _key(value: Any, step: int | str) -> tuple[Any, ...]:
    """Return the one key or position of ``value`` that a step names, if it has that."""
    fields = fields_of(value)
    if fields is not None and step in fields:
        return (step,)
    if not isinstance(step, int) and not step.removeprefix("-").isdecimal():
        return ()
    position = int(step)
    if isinstance(value, list | tuple):
        return (position,) if -len(value) <= position < len(value) else ()
    return (position,) if fields is not None and position in fields else ()
