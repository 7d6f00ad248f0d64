"""Names of a package that are imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["attributes_of"]


def attributes_of(package: dict[str, Any], homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``, for a package of which a part is used without the rest being imported.

    Args:
        package: ``globals()`` of the package.
        homes: Public name → the module that defines it.

    Example:
        >>> attributes_of({"__name__": "example"}, {"pi": "math"})("pi")
        3.141592653589793
    """

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        package[name] = getattr(import_module(homes[name]), name)
        return package[name]

    return attribute
