"""The kinds of shortcuts that are searched for, each by a generator of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from saliency_callbacks.config.checks import checked_choice
from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.discovery.candidate import Generator
from saliency_callbacks.errors import ConfigurationError

__all__ = ["GENERATORS", "checked_kinds", "generators_of"]


def _made(path: str) -> Generator:
    # Imported with the first search: a configuration is read without the mathematics of every kind.
    generator: Generator = resolve_object("kinds", path)()
    return generator


GENERATORS: dict[str, Callable[[], Generator]] = {
    "copies": partial(_made, "saliency_callbacks.discovery.images.copies.Copies"),
    "places": partial(_made, "saliency_callbacks.discovery.images.places.Places"),
    "properties": partial(_made, "saliency_callbacks.discovery.images.properties.Properties"),
}
"""Name of a kind → what makes its generator."""


def checked_kinds(kinds: Any) -> tuple[str, ...]:
    """Return names of kinds as a tuple, each once.

    Args:
        kinds: One name, or several.

    Raises:
        ConfigurationError: If one is unknown, or there is none.

    Example:
        >>> checked_kinds("places"), checked_kinds(["copies", "places"])
        (('places',), ('copies', 'places'))
    """
    kinds = plain(kinds)
    given = kinds if isinstance(kinds, Sequence) and not isinstance(kinds, str) else (kinds,)
    names = tuple(dict.fromkeys(checked_choice("kinds", name, tuple(GENERATORS)) for name in given))
    if not names:
        raise ConfigurationError(f"kinds={kinds!r} is empty; expected any of {list(GENERATORS)}")
    return names


def generators_of(kinds: Sequence[str]) -> tuple[Generator, ...]:
    """Return what proposes candidates of these kinds, in order."""
    return tuple(GENERATORS[kind]() for kind in kinds)
