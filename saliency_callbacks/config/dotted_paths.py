"""Functions given as dotted import paths, so that every setting can be written in a configuration file."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import Any

from saliency_callbacks.errors import ConfigurationError

__all__ = ["resolve_callable", "resolve_object"]


def resolve_callable(argument: str, value: Callable[..., Any] | str | None) -> Callable[..., Any] | None:
    """Return the function that a dotted path such as ``"package.module.function"`` names.

    Args:
        argument: Name of the argument, for messages.
        value: A callable or ``None``, returned as it is, or a dotted path.

    Raises:
        ConfigurationError: If nothing can be imported under that path, or it is not callable.
    """
    if value is None or (callable(value) and not isinstance(value, str)):
        return value
    advice = (
        "Give a function, or the import path of one, 'package.module.function', that Python can import from the "
        "directory where training starts"
    )
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{argument}={value!r} is of type {type(value).__name__}; expected a function. {advice}"
        )
    resolved = _imported(argument, value, advice)
    if not callable(resolved):
        raise ConfigurationError(f"{argument}={value!r} names a {type(resolved).__name__}, not a function. {advice}")
    return resolved  # type: ignore[no-any-return]


def resolve_object(argument: str, value: Any, *, error: type[ConfigurationError] = ConfigurationError) -> Any:
    """Return what a dotted path such as ``"package.module.NAME"`` names, and anything but a string as it is.

    Args:
        argument: Name of the argument, for messages.
        value: An object, or a dotted path.
        error: Class of the error.

    Raises:
        ConfigurationError: If nothing can be imported under that path.
    """
    advice = "Give the object itself, or its import path, 'package.module.NAME'"
    return _imported(argument, value, advice, error) if isinstance(value, str) else value


def _imported(argument: str, path: str, advice: str, error: type[ConfigurationError] = ConfigurationError) -> Any:
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as cause:
        raise error(f"{argument}={path!r} cannot be imported ({cause}). {advice}") from cause
