"""What is known of a text's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from saliency_callbacks.capture.inputs import ModelInputs

__all__ = ["TokenSettings", "read_ids"]


@dataclass(frozen=True)
class TokenSettings:
    """How texts are explained.

    Args:
        embedding: ``"auto"``, or a dotted name or module of the layer that takes the ids; ``None`` for no maps.
    """

    embedding: Any = "auto"

    @classmethod
    def of(cls, embedding: Any = "auto", tokenizer: Any = None) -> TokenSettings:
        """Return the settings with what a tokenizer tells."""
        del tokenizer
        return cls(embedding)


def read_ids(inputs: Any, attribute_to: int | str | None = None) -> ModelInputs:
    """Find the ids of a batch of texts."""
    if isinstance(inputs, Tensor):
        return ModelInputs(inputs, None, inputs)
    key = "input_ids" if attribute_to is None else attribute_to
    return ModelInputs(inputs, key, inputs[key])
