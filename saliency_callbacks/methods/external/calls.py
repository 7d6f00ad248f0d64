"""What the classes and functions of a library take, checked before they are called."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from saliency_callbacks.errors import MethodError, nearest_names

__all__ = ["check_call", "constructors", "is_of", "names_of", "passed_on", "wrapped_class"]

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_call(
    what: str,
    function: Any,
    given: Mapping[str, Any],
    *,
    n_positional: int = 0,
    own: Sequence[str] = (),
    forwards: Sequence[Any] = (),
) -> None:
    """Check that a class or function of a library takes arguments, before it is called.

    Args:
        what: Whose arguments they are.
        function: The class or function.
        given: The arguments that a person gives it.
        n_positional: How many other arguments the method passes by position.
        own: Names of the other arguments that the method passes by name.
        forwards: Where ``function`` passes its ``**kwargs``, and that passes its own, in this order. A last one with
            ``**kwargs`` may do anything with them, so then every name is accepted.

    Raises:
        MethodError: If it does not, or is an abstract class.
    """
    name = getattr(function, "__qualname__", type(function).__name__)
    if inspect.isabstract(function):
        raise MethodError(f"{what}: {name} is an abstract class; expected one of those that are made from it")
    chain = _chain([function, *forwards])
    if chain[0] is None:
        return
    by_position = [one.name for one in chain[0].parameters.values() if one.kind in _BY_POSITION]
    fixed = [*by_position[:n_positional], *own]
    known = [one for one in dict.fromkeys(each for one in chain for each in _names(one)) if one not in fixed]
    takes_any = _hands_on(chain[-1])
    for argument in given:
        if argument in fixed:
            raise MethodError(f"{what}: {argument!r} is what the method itself gives {name}; expected some of {known}")
        if argument not in known and not takes_any:
            hint = f" {nearest_names(argument, known)}" if known else ""
            raise MethodError(f"{what}: {name} takes no {argument!r}; expected some of {known}.{hint}")
    try:
        chain[0].bind(*[None] * n_positional, **dict.fromkeys([*own, *given]))
    except TypeError as error:
        raise MethodError(f"{what}: {error}; expected arguments of {name}: {known}") from error


def constructors(kind: Any, given: Mapping[str, Any]) -> Iterator[Any]:
    """Yield each ``__init__`` of a class, of its bases, and of what it wraps: one passes its ``**kwargs`` to the next.

    Args:
        kind: The class.
        given: What it is called with by name.
    """
    for base in getattr(kind, "__mro__", (object,))[:-1]:
        if "__init__" in vars(base):
            yield vars(base)["__init__"]
            wrapped = wrapped_class(base, given)
            if wrapped is not None:
                yield from constructors(wrapped, given)
                return


def wrapped_class(kind: Any, given: Mapping[str, Any]) -> type | None:
    """Return the ``base_method`` of a class that wraps another, to which it passes its ``**kwargs``; else ``None``."""
    signature = _signature(kind)
    parameter = None if signature is None else signature.parameters.get("base_method")
    wrapped = None if parameter is None else given.get("base_method", parameter.default)
    return wrapped if isinstance(wrapped, type) else None


def passed_on(library: str, functions: Iterable[Any]) -> Iterator[Any]:
    """Yield functions to the first that is not a library's own: nobody knows what that does with its ``**kwargs``."""
    for one in functions:
        yield one
        if not is_of(library, one):
            return


def is_of(library: str, function: Any) -> bool:
    """Return whether a function is a library's own."""
    return str(getattr(function, "__module__", "")).partition(".")[0] == library


def names_of(function: Any) -> list[str]:
    """Return the names that a function takes, without those that are private."""
    return _names(_signature(function))


def _chain(functions: Sequence[Any]) -> list[inspect.Signature | None]:
    """Return the signatures up to the first that hands on nothing."""
    found: list[inspect.Signature | None] = []
    for one in functions:
        found.append(_signature(one))
        if not _hands_on(found[-1]):
            break
    return found


def _signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        # Some that are written in C tell nothing.
        return None


def _hands_on(signature: inspect.Signature | None) -> bool:
    return signature is None or any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())


def _names(signature: inspect.Signature | None) -> list[str]:
    found = [] if signature is None else signature.parameters.values()
    return [one.name for one in found if one.kind in _BY_NAME and one.name != "self" and not one.name.startswith("_")]
