"""The libraries whose methods are run: imported where one is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import MethodError, nearest_names

__all__ = ["imported", "is_made_from", "member", "resolved_arguments", "snake_case"]


def imported(module: str, *, preset: str, package: str, extra: str) -> ModuleType:
    """Return a module of a library.

    Args:
        module: What is imported.
        preset: The class that needs it.
        package: What the library is called.
        extra: Name of the extra that installs it.

    Raises:
        MethodError: If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MethodError(
            f"{preset} needs {package}, which cannot be imported ({error}); install it with: "
            f"pip install 'saliency-callbacks[{extra}]'"
        ) from error


def member(library: ModuleType, name: Any, *, what: str, known: Iterable[str] | None = None) -> Any:
    """Return what a library calls ``name``, or what is imported from a dotted path.

    Raises:
        MethodError: If there is no such thing.
    """
    if not isinstance(name, str):
        raise MethodError(f"{what}={name!r} is of type {type(name).__name__}; expected the name of a class")
    if "." in name:
        return resolve_object(what, name, error=MethodError)
    names = [one for one in dir(library) if one[0].isupper()] if known is None else list(known)
    if name not in names:
        raise MethodError(f"{what}={name!r} is not in {library.__name__}; {nearest_names(name, names)}")
    return getattr(library, name)


def is_made_from(kind: Any, *names: str) -> bool:
    """Return whether what a library has given is a class of one of these names, or made from one."""
    return any(base.__name__ in names for base in getattr(kind, "__mro__", ()))


def resolved_arguments(what: str, arguments: Any) -> dict[str, Any]:
    """Return arguments with dotted paths, ``"package.module.name"``, resolved; other strings stay as they are.

    Raises:
        MethodError: If they are no mapping, or nothing can be imported under a path.
    """
    given = plain(arguments)
    if not isinstance(given, Mapping):
        raise MethodError(
            f"{what}={given!r} is of type {type(given).__name__}; expected a mapping from names to values"
        )
    return {name: _resolved(f"{what}[{name!r}]", value) for name, value in given.items()}


def snake_case(name: str) -> str:
    """Return the name of a class as tags are written.

    Example:
        >>> snake_case("ScoreCAM"), snake_case("DeepLiftShap"), snake_case("GradCAMpp")
        ('score_cam', 'deep_lift_shap', 'grad_campp')
    """
    name = name.rsplit(".", 1)[-1].replace("CAM", "Cam")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _resolved(what: str, value: Any) -> Any:
    is_path = isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", value)
    return resolve_object(what, value, error=MethodError) if is_path else value
