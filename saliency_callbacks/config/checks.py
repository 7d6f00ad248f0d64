"""Checks of single values that a user writes: numbers, choices and flags.

Each check takes the name of the argument first, so that its message always names the argument that was given, and
returns the value in its plain type. Where a value belongs to an object, the name says so: ``"smooth_grad: stdevs"``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Sequence
from numbers import Real
from typing import Any

from saliency_callbacks.errors import ConfigurationError, nearest_names

__all__ = [
    "checked_choice",
    "checked_flag",
    "checked_integer",
    "checked_real",
    "checked_shared",
    "is_integer",
    "is_real",
]


def checked_integer(
    argument: str,
    value: Any,
    at_least: int,
    at_most: int | None = None,
    *,
    expected: str = "",
    error: type[ConfigurationError] = ConfigurationError,
) -> int:
    """Return a whole number as an ``int``.

    Args:
        argument: Name of the argument, for the message.
        value: What was given, of Python, NumPy or torch.
        at_least: Smallest valid number.
        at_most: Largest valid number; ``None`` for no limit.
        expected: What the message says was expected; derived from the limits by default.
        error: Class of the error.

    Raises:
        ConfigurationError: If ``value`` is not a whole number between the limits, both included.

    Example:
        >>> checked_integer("size", 16, 1)
        16
    """
    if not is_integer(value, at_least, at_most):
        limits = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise error(f"{argument}={value!r}; expected {expected or f'a whole number {limits}'}")
    return operator.index(value)


def checked_real(
    argument: str,
    value: Any,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    expected: str = "",
    error: type[ConfigurationError] = ConfigurationError,
) -> float:
    """Return a finite number as a ``float``.

    Args:
        argument: Name of the argument, for the message.
        value: What was given.
        above: Lower limit, itself invalid.
        below: Upper limit, itself invalid.
        at_least: Smallest valid number.
        at_most: Largest valid number.
        expected: What the message says was expected; derived from the limits by default.
        error: Class of the error.

    Raises:
        ConfigurationError: If ``value`` is not a finite number between the limits.

    Example:
        >>> checked_real("confidence", 0.95, above=0, below=1)
        0.95
    """
    if not is_real(value, at_least, at_most) or not above < value < below:
        limits = _limits(above, below, at_least, at_most)
        raise error(f"{argument}={value!r}; expected {expected or f'a finite number{limits}'}")
    return float(value)


def checked_choice(
    argument: str,
    value: Any,
    choices: Collection[str],
    *,
    expected: str = "",
    error: type[ConfigurationError] = ConfigurationError,
) -> Any:
    """Return ``value`` if it is one of ``choices``.

    Args:
        argument: Name of the argument, for the message.
        value: What was given.
        choices: Every valid value.
        expected: What the message says was expected; the choices by default.
        error: Class of the error.

    Raises:
        ConfigurationError: If it is not.

    Example:
        >>> checked_choice("color_scale", "shared", ("shared", "per_map"))
        'shared'
    """
    if not isinstance(value, str) or value not in choices:
        hint = nearest_names(str(value), choices)
        end = "" if hint.endswith("?") else "."
        raise error(f"{argument}={value!r} is unknown; {hint}{end} Expected {expected or f'one of {list(choices)}'}")
    return value


def checked_flag(argument: str, value: Any, *, error: type[ConfigurationError] = ConfigurationError) -> bool:
    """Return ``value``, which must be ``True`` or ``False``.

    Args:
        argument: Name of the argument, for the message.
        value: What was given.
        error: Class of the error.

    Raises:
        ConfigurationError: If it is anything else, even if it counts as true or false.
    """
    if not isinstance(value, bool):
        raise error(f"{argument}={value!r}; expected True or False")
    return value


def checked_shared(shared: Any) -> tuple[int | str, ...] | None:
    """Return what a user names as shared by all samples: one key or position, or several.

    Raises:
        ConfigurationError: If it is something else.
    """
    if shared is None:
        return None
    keys = (shared,) if isinstance(shared, (int, str)) else shared
    is_named = isinstance(keys, Sequence) and all(
        isinstance(key, (int, str)) and not isinstance(key, bool) for key in keys
    )
    if not is_named:
        raise ConfigurationError(
            f"shared={shared!r}; expected the keys or positions of the inputs that all samples share, such as "
            "('input_ids', 'attention_mask'), or () if each has one row per sample"
        )
    return tuple(keys)


def is_integer(value: Any, at_least: int, at_most: int | None = None) -> bool:
    """Return whether ``value`` is a whole number between the limits, both included; booleans are none."""
    if isinstance(value, bool):
        return False
    try:
        number = operator.index(value)
    except TypeError:
        return False
    return at_least <= number and (at_most is None or number <= at_most)


def is_real(value: Any, at_least: float = -math.inf, at_most: float = math.inf) -> bool:
    """Return whether ``value`` is a finite number between the limits, both included; booleans are none."""
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return is_number and at_least <= value <= at_most


def _limits(above: float, below: float, at_least: float, at_most: float) -> str:
    """Describe the limits that are finite, in the shortest way."""
    if math.isfinite(above) and math.isfinite(below):
        return f" between {above:g} and {below:g}"
    if math.isfinite(at_least) and math.isfinite(at_most):
        return f" from {at_least:g} to {at_most:g}"
    words = {"above": above, "below": below, "of at least": at_least, "of at most": at_most}
    given = [f"{word} {limit:g}" for word, limit in words.items() if math.isfinite(limit)]
    return " " + " and ".join(given) if given else ""
