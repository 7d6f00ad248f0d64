"""Checks of what a person writes as arguments of ``Probe``, in Python, YAML or Hydra."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from saliency_callbacks.errors import ProbeError, nearest_names
from saliency_callbacks.probe.description import describe

__all__ = ["as_flag", "as_function", "as_indices", "as_integer", "as_source"]

_SOURCES = ("val", "train")


def as_integer(name: str, value: Any, *, minimum: int) -> int:
    """Return ``value`` as an ``int`` of at least ``minimum``."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < minimum:
        raise ProbeError(f"Probe({name}={value!r}): an integer of at least {minimum} was expected.")
    return number


def as_flag(name: str, value: Any) -> bool:
    """Return ``value``, which must be ``True`` or ``False``."""
    if not isinstance(value, bool):
        raise ProbeError(f"Probe({name}={value!r}): True or False was expected.")
    return value


def as_source(value: Any) -> Literal["val", "train"]:
    """Return ``value``, which must be ``"val"`` or ``"train"``."""
    if value not in _SOURCES:
        hint = nearest_names(str(value), _SOURCES)
        raise ProbeError(
            f"Probe(source={value!r}) is unknown: 'val' or 'train' was expected; {hint} For samples of any other "
            "origin use Probe.from_tensors(...)."
        )
    return cast(Literal["val", "train"], value)


def as_indices(value: Any) -> tuple[int, ...] | None:
    """Return ``value`` (a list, tuple, range, array or Hydra list) as a tuple of distinct indices."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ProbeError(f"Probe(indices={value!r}): a list of integers, such as [0, 5, 7], was expected.")
    indices = tuple(as_integer("indices", index, minimum=0) for index in value)
    repeated = sorted({index for index in indices if indices.count(index) > 1})
    if not indices or repeated:
        problem = f"names {repeated[:5]} more than once" if repeated else "is empty"
        raise ProbeError(f"Probe(indices={describe(list(indices))}) {problem}; distinct indices were expected.")
    return indices


def as_function(name: str, value: Any, form: str) -> Callable[..., Any] | str | None:
    """Return ``value``, which must be a function of this form, its dotted import path, or ``None``."""
    if value is None or callable(value) or (isinstance(value, str) and "." in value.strip(".")):
        return cast("Callable[..., Any] | str | None", value)
    shown = repr(value) if isinstance(value, str | float | int) else describe(value)
    own = "" if name == "unpack_batch" else f" For samples of your own: Probe.from_tensors(inputs, {name}={name})."
    raise ProbeError(
        f"Probe({name}={shown}): a function {form}, or its import path 'package.module.function', was expected.{own}"
    )
