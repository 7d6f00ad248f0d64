"""From what a person writes for a callback to the settings of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from saliency_callbacks.callbacks.runtime.arguments import checked_choice
from saliency_callbacks.capture.oom import BackOff
from saliency_callbacks.capture.text.settings import TokenSettings
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.engine.run import Settings
from saliency_callbacks.methods.registry import resolve_methods
from saliency_callbacks.types import Method

__all__ = ["Precision", "checked_settings"]

# The number is what an unquoted 32 is in YAML.
Precision = Literal["trainer", "32", 32]


def checked_settings(
    methods: str | Method | Sequence[str | Method],
    *,
    target_layers: Any,
    reshape_transform: str | Callable[..., Any] | None,
    output_fn: str | Callable[..., Any] | None,
    attribute_to: int | str | None,
    internal_batch_size: int | None,
    seed: int,
    precision: Precision = "trainer",
    embedding: Any = None,
    tokenizer: Any = None,
) -> Settings:
    """Return the settings, with names of methods and dotted paths of functions resolved; see :class:`SaliencyMonitor`.

    Raises:
        ConfigurationError: If one of them cannot be used.
    """
    return Settings(
        methods=resolve_methods(methods),
        target_layers=plain(target_layers),
        reshape_transform=resolve_callable("reshape_transform", reshape_transform),
        output_fn=resolve_callable("output_fn", output_fn),
        attribute_to=attribute_to,
        internal_batch_size=internal_batch_size,
        seed=seed,
        full_precision=checked_choice("precision", str(precision), ("trainer", "32")) == "32",
        tokens=TokenSettings.where_given(embedding, tokenizer),
        back_off=BackOff(),
    )
