"""What the classes and functions of a library take, checked before they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from saliency_callbacks.errors import MethodError, nearest_names

__all__ = ["check_call", "inherited"]


def check_call(
    what: str,
    function: Any,
    given: Mapping[str, Any],
    *,
    n_positional: int = 0,
    own: Sequence[str] = (),
    forwards: Sequence[Callable[..., Any]] = (),
) -> None:
    """Check that a class or function of a library takes arguments, before it is called.

    Args:
        what: Whose arguments they are.
        function: The class or function.
        given: The arguments that a person gives it.
        n_positional: How many the method gives it itself, by position.
        own: Names of those that the method gives it itself, by name.
        forwards: Functions that it hands on to what it does not name; without them, it takes whatever it hands on.

    Raises:
        MethodError: If it does not, or is an abstract class.
    """
    name = getattr(function, "__qualname__", type(function).__name__)
    if inspect.isabstract(function):
        raise MethodError(f"{what}: {name} is an abstract class; expected one of those that are made from it")
    try:
        signature = inspect.signature(function)
    except ValueError:
        # Some that are written in C tell nothing.
        return
    fixed = [*list(signature.parameters)[:n_positional], *own]
    known = [one for one in _named([function, *forwards]) if one not in fixed]
    hands_on = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    for argument in given:
        if argument in fixed:
            raise MethodError(f"{what}: {argument!r} is what the method itself gives {name}; expected some of {known}")
        if argument not in known and not (hands_on and not forwards):
            hint = f" {nearest_names(argument, known)}" if known else ""
            raise MethodError(f"{what}: {name} takes no {argument!r}; expected some of {known}.{hint}")
    try:
        signature.bind(*[None] * n_positional, **dict.fromkeys([*own, *given]))
    except TypeError as error:
        raise MethodError(f"{what}: {error}; expected arguments of {name}: {known}") from error


def inherited(kind: type, *names: str) -> list[Callable[..., Any]]:
    """Return the methods of these names of a class and all that it is made from, which hand on to one another."""
    return [vars(base)[name] for base in kind.__mro__ if base is not object for name in names if name in vars(base)]


def _named(functions: Iterable[Callable[..., Any]]) -> list[str]:
    """Return what can be given by name, each once."""
    found = [one for each in functions for one in inspect.signature(each).parameters.values()]
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return list(dict.fromkeys(one.name for one in found if one.kind in by_name and one.name not in ("self", "_")))
