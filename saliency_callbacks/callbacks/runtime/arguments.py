"""Checks of the callbacks' arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from saliency_callbacks.callbacks.saliency.appearance import Appearance, ColorScale
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import ConfigurationError, TargetError, nearest_names
from saliency_callbacks.rendering.colormap import overlay
from saliency_callbacks.rendering.contour import check_contour
from saliency_callbacks.rendering.legend import check_style
from saliency_callbacks.types import Sink

__all__ = [
    "checked_appearance",
    "checked_choice",
    "checked_namespace",
    "checked_normalization",
    "checked_number",
    "checked_real",
    "checked_sinks",
    "checked_target",
    "is_auto",
]

_NAMED_TARGETS = ("label", "initial_prediction", "predicted")


def checked_target(target: Any) -> Any:
    """Return a callback's ``target``, with a dotted path resolved.

    Raises:
        TargetError: If it is an unknown name.
    """
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
    if not re.fullmatch(r"[\w-]+", namespace):
        raise ConfigurationError(
            f"namespace={namespace!r}; expected letters, digits, '_' and '-' only, as it names a directory"
        )
    return namespace


def checked_choice(argument: str, value: Any, choices: Sequence[str]) -> Any:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        ConfigurationError: If it is not.
    """
    if value not in choices:
        raise ConfigurationError(f"{argument}={value!r} is unknown; {nearest_names(str(value), choices)}")
    return value


def checked_number(argument: str, value: Any, least: int) -> int:
    """Return ``value``.

    Raises:
        ConfigurationError: If it is not a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{argument}={value!r}; expected a whole number of at least {least}")
    return value


def checked_real(argument: str, value: Any, *, above: float = -math.inf, below: float = math.inf) -> float:
    """Return ``value``.

    Raises:
        ConfigurationError: If it is not a finite number between ``above`` and ``below``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < below:
        between = f" between {above:g} and {below:g}" if math.isfinite(above) else ""
        raise ConfigurationError(f"{argument}={value!r}; expected a finite number{between}")
    return float(value)


def checked_appearance(appearance: Appearance) -> Appearance:
    """Return ``appearance``.

    Raises:
        ConfigurationError: If there is no such style, colour scale or colour map, the opacity is outside [0, 1], or
            the contour is no share.
    """
    check_style(appearance.style)
    check_contour(appearance.contour)
    checked_choice("color_scale", appearance.color_scale, get_args(ColorScale))
    picture, heat = np.zeros((1, 1, 1, 3), dtype=np.uint8), np.zeros((1, 1, 1), dtype=np.float32)
    overlay(picture, heat, alpha=appearance.alpha, **appearance.colors)
    return appearance


def checked_normalization(
    normalization: Sequence[Sequence[float]] | None,
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return ``(mean, std)`` as tuples of floats.

    Raises:
        ConfigurationError: If it is not a pair of as many numbers each.
    """
    if normalization is None:
        return None
    try:
        mean, std = (tuple(float(value) for value in values) for values in normalization)
    except (TypeError, ValueError):
        mean, std = (), ()
    if not mean or len(mean) != len(std):
        raise ConfigurationError(
            f"normalization={normalization!r}; expected (mean, std) with one number a channel each, e.g. "
            "([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
        )
    return mean, std


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
                f"sinks has {sink!r}; expected objects with write(snapshot, pictures), such as DiskSink('maps')"
            )
    return given
