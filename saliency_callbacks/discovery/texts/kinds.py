"""The kinds of shortcuts that are searched for in texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from saliency_callbacks.config.checks import checked_choice
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.discovery.candidate import Generator
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.discovery.texts.missing import Missing
from saliency_callbacks.discovery.texts.properties import TextProperties
from saliency_callbacks.discovery.texts.tokens import Tokens
from saliency_callbacks.errors import ConfigurationError

__all__ = ["TEXT_GENERATORS", "checked_text_kinds", "text_generators"]

TEXT_GENERATORS: dict[str, Callable[[], Generator]] = {
    "tokens": Tokens,
    "missing": Missing,
    "properties": TextProperties,
}
"""Name of a kind → what makes its generator."""


def checked_text_kinds(kinds: Any) -> tuple[str, ...]:
    """Return names of kinds as a tuple, each once; all of them for the kinds of images that are searched by default.

    Args:
        kinds: One name, or several.

    Raises:
        ConfigurationError: If one is unknown, or there is none.

    Example:
        >>> checked_text_kinds("tokens"), checked_text_kinds(("copies", "places", "properties"))
        (('tokens',), ('tokens', 'missing', 'properties'))
    """
    kinds = plain(kinds)
    given = tuple(kinds) if isinstance(kinds, Sequence) and not isinstance(kinds, str) else (kinds,)
    if given == tuple(GENERATORS):
        return tuple(TEXT_GENERATORS)
    names = tuple(dict.fromkeys(checked_choice("kinds", name, tuple(TEXT_GENERATORS)) for name in given))
    if not names:
        raise ConfigurationError(f"kinds={kinds!r} is empty; expected any of {list(TEXT_GENERATORS)}")
    return names


def text_generators(kinds: Sequence[str] | str) -> tuple[Generator, ...]:
    """Return what proposes candidates of these kinds in texts.

    Args:
        kinds: One name, or several.

    Raises:
        ConfigurationError: If one is unknown.

    Example:
        >>> [one.kind for one in text_generators("tokens")]
        ['tokens']
    """
    return tuple(TEXT_GENERATORS[kind]() for kind in checked_text_kinds(kinds))
