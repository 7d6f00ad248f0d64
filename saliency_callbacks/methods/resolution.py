"""From what a user writes for ``methods`` to method objects.

Needs no torch before a method is made.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import MethodError, nearest_names
from saliency_callbacks.methods import registry
from saliency_callbacks.methods.registry import BUILT_IN, ENTRY_POINT_GROUP

if TYPE_CHECKING:
    from saliency_callbacks.types import AnyMethod

__all__ = ["resolve_methods"]


def resolve_methods(methods: Any) -> tuple[AnyMethod, ...]:
    """Return method objects from what a user writes.

    Args:
        methods: A name, a method object, a ``{"class_path": …, "init_args": …}`` mapping, or a list of these.

    Raises:
        MethodError: If a method is unknown, given twice under one name, or none is given.
    """
    methods = plain(methods)
    given = methods if isinstance(methods, Sequence) and not isinstance(methods, str) else [methods]
    resolved = tuple(_resolve(method) for method in given)
    if not resolved:
        raise MethodError(f"methods is empty; expected at least one of {sorted(BUILT_IN)}")
    names = [method.name for method in resolved]
    for name in names:
        if not re.fullmatch(r"[\w.+-]+", name):
            raise MethodError(
                f"a method has name={name!r}; expected letters, digits, '_', '.', '+' and '-', because it becomes "
                "part of tags and file names"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MethodError(f"methods {twice} appear twice. Give each its own `name=`, e.g. Gradient(name='gradient_l2')")
    return resolved


def _resolve(method: Any) -> AnyMethod:
    if isinstance(method, str):
        return _by_name(method)
    if isinstance(method, Mapping) and "class_path" in method:
        return _by_class_path(method)
    if _is_method(method):
        return method  # type: ignore[no-any-return]
    raise MethodError(
        f"method {method!r} is of type {type(method).__name__}; expected a name such as 'grad_cam', an object such as "
        "GradCAM(), or a list of these"
    )


def _by_name(name: str) -> AnyMethod:
    if name in BUILT_IN:
        return BUILT_IN[name]()
    installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name in installed:
        factory: Callable[[], AnyMethod] = installed[name].load()
        return factory()
    raise MethodError(f"method {name!r} is unknown; {nearest_names(name, [*BUILT_IN, *installed])}")


def _by_class_path(config: Mapping[str, Any]) -> AnyMethod:
    path = str(config["class_path"])
    # Without a module it is one of this package.
    factory = _own_class(path) if "." not in path else resolve_object("class_path", path, error=MethodError)
    arguments = dict(config.get("init_args") or {})
    try:
        method = factory(**arguments)
    except TypeError as error:
        raise MethodError(
            f"{path} does not take init_args {arguments} ({error}); expected some of {_constructor_arguments(factory)}"
        ) from error
    if not _is_method(method):
        raise MethodError(
            f"class_path {path!r} creates a {type(method).__name__}; expected a saliency method, with `name`, "
            "`requires()` and `attribute()`, or such as ExternalMethod"
        )
    return method  # type: ignore[no-any-return]


def _own_class(name: str) -> Any:
    known = [one for one in registry.__all__ if one[0].isupper() and not one.isupper()]
    if name not in known:
        raise MethodError(f"class_path {name!r} is unknown; {nearest_names(name, known)}")
    return getattr(registry, name)


def _constructor_arguments(factory: Any) -> list[str]:
    try:
        return list(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return []


def _is_method(value: Any) -> bool:
    from saliency_callbacks.types import Method, ModelMethod  # noqa: PLC0415 - with torch

    return isinstance(value, Method | ModelMethod) and not isinstance(value, type)
