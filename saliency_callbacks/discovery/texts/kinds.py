"""The kinds of shortcuts that are searched for in texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from saliency_callbacks.config.checks import checked_choice
from saliency_callbacks.discovery.candidate import Generator
from saliency_callbacks.discovery.texts.missing import Missing
from saliency_callbacks.discovery.texts.properties import TextProperties
from saliency_callbacks.discovery.texts.tokens import Tokens

__all__ = ["TEXT_GENERATORS", "text_generators"]

TEXT_GENERATORS: dict[str, Callable[[], Generator]] = {
    "tokens": Tokens,
    "missing": Missing,
    "properties": TextProperties,
}
"""Name of a kind → what makes its generator."""


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
    given = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    return tuple(TEXT_GENERATORS[checked_choice("kinds", kind, tuple(TEXT_GENERATORS))]() for kind in given)
