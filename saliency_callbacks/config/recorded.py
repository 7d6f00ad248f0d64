"""What a record of a run keeps of arguments: short, without secrets, and alike in every process."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.config.secrets import without_secrets

__all__ = ["recorded", "recorded_settings"]

_MAX_ENTRIES = 16
_MAX_LENGTH = 300
_DEPTH = 4
_CONSTANTS = (int, float, complex, bool, type(None), range, slice, torch.dtype, torch.device, torch.Size)


def recorded(value: Any) -> str:
    """Return a value as a record keeps it.

    Functions and classes are named by where they are defined, tensors by shape and dtype. Of objects of somebody else's
    class only the type is told: their ``repr`` may raise, hold an address, a password or megabytes.

    Args:
        value: Of any type. Mappings are in whatever order they were written, so they are sorted.

    Example:
        >>> recorded({"n_steps": 20, "baselines": torch.zeros(1, 3), "api_key": "abc"})
        "{'api_key': ***, 'baselines': Tensor[1, 3] float32, 'n_steps': 20}"
        >>> recorded([torch.nn.functional.relu, object()])
        '[torch.nn.functional.relu, <object>]'
    """
    return _recorded(value, _DEPTH)


def recorded_settings(settings: Any) -> str:
    """Return a dataclass with its fields as a record keeps them; of any other object the same as :func:`recorded`.

    Example:
        >>> from saliency_callbacks.methods import Gradient
        >>> recorded_settings(Gradient())
        "Gradient(reduction='abs_max', name='gradient')"
    """
    if not is_dataclass(settings) or isinstance(settings, type):
        return recorded(settings)
    # A subclass with an `__init__` of its own may leave some out.
    shown = [one.name for one in fields(settings) if one.repr and hasattr(settings, one.name)]
    return (
        f"{type(settings).__name__}({', '.join(f'{name}={_under(name, getattr(settings, name))}' for name in shown)})"
    )


def _recorded(value: Any, depth: int) -> str:
    if isinstance(value, Mapping):
        return f"{{{_listed(_entries(value, depth), len(value))}}}" if depth else "{…}"
    if type(value) in (list, tuple, set, frozenset):
        return _sequence(value, depth) if depth else "…"
    return _shortened(_told(value))


def _entries(value: Mapping[Any, Any], depth: int) -> list[str]:
    named = sorted((_shortened(_told(name)), name) for name in value)[:_MAX_ENTRIES]
    return [f"{text}: {_under(name, value[name], depth - 1)}" for text, name in named]


def _under(name: Any, value: Any, depth: int = _DEPTH) -> str:
    """Return a value, unless it stands under a name that tells that it is secret."""
    is_secret = isinstance(name, str) and without_secrets(f"{name}=x") != f"{name}=x"
    return "***" if is_secret else _recorded(value, depth)


def _sequence(value: Any, depth: int) -> str:
    shown = [_recorded(one, depth - 1) for one in islice(value, _MAX_ENTRIES)]
    if isinstance(value, set | frozenset):
        # Sets of strings have another order in every process.
        shown = sorted(_recorded(one, depth - 1) for one in value)[:_MAX_ENTRIES]
    opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")") if isinstance(value, tuple) else ("{", "}")
    comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
    return f"{opening}{_shortened(_listed(shown, len(value)) + comma)}{closing}"


def _listed(shown: list[str], n_entries: int) -> str:
    return ", ".join([*shown, *["…"] * (n_entries > len(shown))])


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


def _told(value: Any) -> str:
    if isinstance(value, str | PurePath):
        # A text may have any length, and what hides secrets reads all of it.
        return repr(without_secrets(str(value)[: 10 * _MAX_LENGTH]))
    if isinstance(value, Tensor | np.ndarray):
        return describe(value)
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if inspect.isroutine(value) or inspect.isclass(value):
        module = getattr(value, "__module__", None)
        return f"{module}.{value.__qualname__}" if module else str(value.__qualname__)
    is_own = type(value).__module__.partition(".")[0] == __name__.partition(".")[0]
    is_told = is_own or type(value) in _CONSTANTS or isinstance(value, np.generic)
    return without_secrets(repr(value)) if is_told else f"<{type(value).__name__}>"
