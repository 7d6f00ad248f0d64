"""Settings by name alone, for tests that vary one of them at a time."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

from saliency_callbacks import Cascade, RandomizationTest

_CASCADE = {"cascade_at_fit_end": "at_fit_end", "cascade_order": "order", "cascade_draws": "n_draws"}


def grouped(callback: Any, **settings: Any) -> dict[str, Any]:
    """Return the arguments of a callback's constructor, with each setting in the group that it belongs to.

    Args:
        callback: The class of the callback.
        settings: Its arguments, and fields of its groups by their name alone.
    """
    places: dict[str, tuple[str, type]] = {}
    for group, kind in callback.kinds.items():
        for one in fields(kind):
            places.setdefault(one.name, (group, kind))
    arguments: dict[str, Any] = {}
    groups: dict[str, tuple[type, dict[str, Any]]] = {}
    for name, value in settings.items():
        if issubclass(callback, RandomizationTest) and name in _CASCADE:
            groups.setdefault("cascade", (Cascade, {}))[1][_CASCADE[name]] = value
        elif name in places and name not in callback.kinds:
            group, kind = places[name]
            groups.setdefault(group, (kind, {}))[1][name] = value
        else:
            arguments[name] = value
    return arguments | {group: kind(**given) for group, (kind, given) in groups.items()}


def every_setting(callback: Any) -> dict[str, set[str]]:
    """Return every argument of a callback's constructor, with the fields of those that are groups."""
    arguments = inspect.signature(callback).parameters
    return {
        name: {one.name for one in fields(callback.kinds[name])} if name in callback.kinds else set()
        for name in arguments
    }


def settings_in(callback: Any, arguments: dict[str, Any]) -> dict[str, set[str]]:
    """Return the same of what a configuration file gives."""
    return {name: set(value) if name in callback.kinds else set() for name, value in arguments.items()}
