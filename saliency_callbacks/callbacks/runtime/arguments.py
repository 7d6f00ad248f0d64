"""Checks of the callbacks' own arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any, ClassVar, Literal

from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import ConfigurationError, TargetError, nearest_names
from saliency_callbacks.types import Sink

__all__ = ["GroupedArguments", "OnError", "checked_namespace", "checked_sinks", "checked_target", "is_auto"]

OnError = Literal["warn", "raise"]

_NAMED_TARGETS = ("label", "initial_prediction", "predicted")


def checked_target(target: Any) -> Any:
    """Return a callback's ``target``, with a dotted path resolved.

    Raises:
        TargetError: If it is an unknown name, or a mapping, of which nobody has made an object.
    """
    if isinstance(plain(target), Mapping):
        raise TargetError(
            f"target={plain(target)!r} is a mapping; expected the object that it describes. A LightningCLI makes it "
            "from `class_path`; for Hydra write `_target_: saliency_callbacks.targets.…` with its arguments beside it"
        )
    if not isinstance(target, str) or target in _NAMED_TARGETS:
        return target
    if "." in target or ":" in target:
        return resolve_callable("target", target)
    raise TargetError(
        f"target={target!r} is unknown; {nearest_names(target, _NAMED_TARGETS)} Expected one of "
        f"{list(_NAMED_TARGETS)}, a class index, or a callable on the model's output"
    )


def checked_namespace(namespace: str) -> str:
    """Return a callback's ``namespace``.

    Raises:
        ConfigurationError: If it could not name a directory.
    """
    if not isinstance(namespace, str) or not re.fullmatch(r"[\w-]+", namespace):
        raise ConfigurationError(
            f"namespace={namespace!r}; expected only letters, digits, '_' and '-', because it names a directory"
        )
    return namespace


def is_auto(target_layers: Any) -> bool:
    """Return whether the target layer is to be found; a module compares with a string without a warning here."""
    return isinstance(target_layers, str) and target_layers == "auto"


def checked_sinks(sinks: Sequence[Sink]) -> tuple[Sink, ...]:
    """Return ``sinks`` as a tuple.

    Raises:
        ConfigurationError: If one of them cannot be written to.
    """
    sinks = plain(sinks)
    given = tuple(sinks) if isinstance(sinks, Sequence) else (sinks,)
    for sink in given:
        if not isinstance(sink, Sink) or isinstance(sink, type):
            raise ConfigurationError(
                f"sinks contains {sink!r}; expected objects with write(snapshot, pictures), such as DiskSink('maps')"
            )
    return given


class GroupedArguments:
    """A class whose constructor takes groups of settings, and names the group of a setting that is given outside of it.

    Raises:
        ConfigurationError: If one is.
    """

    kinds: ClassVar[Mapping[str, type]] = {}
    """Arguments that are groups of settings → their class."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Names of earlier versions → how that is written now, where it is no field of the same name in a group."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the constructor that takes the groups name them; a subclass may have arguments of any name."""
        super().__init_subclass__(**kwargs)
        if "kinds" in vars(cls):
            cls.__init__ = _naming_places(cls, cls.__init__)  # type: ignore[method-assign]


def _naming_places(owner: type[GroupedArguments], construct: Callable[..., None]) -> Callable[..., None]:
    known = inspect.signature(construct).parameters

    @wraps(construct)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        places = _places(owner)
        moved = [name for name in kwargs if name not in known and name in places]
        if moved:
            raise ConfigurationError(
                f"{owner.__name__} has no argument {moved[0]!r}; expected it as "
                f"{', '.join(places[name] for name in moved)}"
            )
        construct(self, *args, **kwargs)

    return checked


def _places(owner: type[GroupedArguments]) -> dict[str, str]:
    """Return how each setting of a group is written."""
    places: dict[str, str] = {}
    for argument, kind in owner.kinds.items():
        for one in fields(kind):
            places.setdefault(one.name, f"{argument}={kind.__name__}({one.name}=…)")
    return {**places, **owner.renamed}
