"""Grammar of messages that are put together from parts."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["capitalized", "counted", "joined"]


def capitalized(text: str) -> str:
    """Return a text with a capital first letter, and the rest as it is.

    Example:
        >>> capitalized("the IG map")
        'The IG map'
    """
    return text[:1].upper() + text[1:]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    Args:
        number: How many there are.
        noun: The noun for one.
        plural: The noun for any other number; ``noun`` with an s by default.

    Example:
        >>> counted(1, "layer"), counted(0, "layer"), counted(2, "pass", "passes")
        ('1 layer', '0 layers', '2 passes')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def joined(names: Sequence[str]) -> str:
    """Return names as a list within a sentence.

    Example:
        >>> joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])
        ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)
