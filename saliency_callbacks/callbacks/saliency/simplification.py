"""What is left of the default methods where a model does not allow all of them."""

from __future__ import annotations

from saliency_callbacks.engine.wants import needs_layers
from saliency_callbacks.types import AnyMethod

__all__ = ["methods_left"]


def methods_left(methods: tuple[AnyMethod, ...], *, needing_layers: bool) -> tuple[AnyMethod, ...]:
    """Return those methods alone that need a target layer, or none; nothing where all of them do."""
    left = tuple(method for method in methods if needs_layers([method]) is needing_layers)
    return left if len(left) < len(methods) else ()
