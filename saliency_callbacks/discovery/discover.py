"""Find shortcuts that nobody named, without a Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.discovery.suspicion import Suspicion

__all__ = ["discover_shortcuts"]


def discover_shortcuts(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    kinds: Sequence[str] = ("copies", "places", "properties"),
    threshold: float = 0.25,
    class_names: Sequence[str] | None = None,
    ids: Sequence[object] | None = None,
    output_fn: Callable[[Any], Any] | None = None,
    internal_batch_size: int | None = 256,
    max_seconds: float | None = None,
    seed: int = 0,
) -> list[Suspicion]:
    """Look for cues that nobody named (being written)."""
    raise NotImplementedError
