"""Checks of the methods' hyperparameters."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

from saliency_callbacks.errors import MethodError, nearest_names

__all__ = ["check_at_least", "check_choice", "check_count"]


def check_choice(method: str, argument: str, value: str, choices: Collection[str]) -> None:
    """Raise a MethodError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise MethodError(
            f"{method}: {argument}={value!r} is unknown; {nearest_names(str(value), choices)} "
            f"Expected one of {sorted(choices)}"
        )


def check_at_least(method: str, argument: str, value: Any, minimum: float) -> None:
    """Raise a MethodError unless ``value`` is a finite number of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not minimum <= float(value) < float("inf"):
        raise MethodError(f"{method}: {argument}={value!r}; expected a finite number of at least {minimum}")


def check_count(method: str, argument: str, value: Any, minimum: int) -> None:
    """Raise a MethodError unless ``value`` is a whole number of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise MethodError(f"{method}: {argument}={value!r}; expected a whole number of at least {minimum}")
