"""What a batch holds by name, whether it is a dictionary, a dataclass, a named tuple or an object with attributes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

__all__ = ["FieldDict", "fields_of", "with_fields"]

_PLAIN = (Tensor, np.ndarray, np.generic, nn.Module, str, bytes, int, float, complex, list, type, type(None))


class FieldDict(dict[str, Any]):
    """A dictionary whose entries are attributes as well, for models that read a batch either way.

    Example:
        >>> batch = FieldDict(image=1)
        >>> batch.image, batch["image"]
        (1, 1)
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the batch has no {name!r}; it has {', '.join(map(repr, self))}") from None


def fields_of(value: Any) -> Mapping[Any, Any] | None:
    """Return what ``value`` holds by name; ``None`` where it is no such thing.

    A mapping, a named tuple, a dataclass, a class of ``attrs``, anything with ``keys`` and items, and any other object
    with a public attribute that is a tensor or an array. Entries that are ``None`` are left out.
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, _PLAIN) or (isinstance(value, tuple) and not hasattr(value, "_fields")):
        return None
    try:
        found = _named(value)
    except Exception:
        # A property of somebody else's class may raise anything.
        return None
    return found or None


def with_fields(value: Any, fields: Mapping[Any, Any]) -> Any:
    """Return a copy of ``value`` with other fields: of its own kind where that can be, else a :class:`FieldDict`."""
    if isinstance(value, Mapping):
        return dict(fields)
    if isinstance(value, tuple) and hasattr(value, "_replace"):
        return value._replace(**fields)
    try:
        duplicate = copy.copy(value)
        for name, entry in fields.items():
            # As a frozen dataclass does itself.
            object.__setattr__(duplicate, name, entry)
    except Exception:
        return FieldDict(fields)
    return duplicate


def _named(value: Any) -> dict[Any, Any]:
    kind = type(value)
    if hasattr(kind, "_fields") and isinstance(value, tuple):
        names: Any = getattr(kind, "_fields")  # noqa: B009 (no attribute of every tuple)
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    elif callable(getattr(value, "keys", None)) and hasattr(kind, "__getitem__"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118 (no mapping, so it need not be iterable)
    else:
        slots = getattr(kind, "__slots__", ())
        names = [*getattr(value, "__dict__", {}), *([slots] if isinstance(slots, str) else slots)]
        names = [name for name in names if not name.startswith("_")]
        if not any(isinstance(getattr(value, name, None), Tensor | np.ndarray) for name in names):
            return {}
    found = {name: getattr(value, name, None) for name in names}
    return {name: entry for name, entry in found.items() if entry is not None}
