"""What a model returns at the unchanged inputs, and whether it computes probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.capture.probabilities import ProbabilityMode
from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import OutputError

__all__ = ["Outputs", "run_outputs"]


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of a batch.

    Args:
        values: ``[N, K]``; ``None`` where no such tensor can be read from what the model returns.
        are_probabilities: Whether a sigmoid or softmax made them, and nothing after it that needs more than those.
    """

    values: Tensor | None
    are_probabilities: bool = False


def run_outputs(model: nn.Module, inputs: Any, settings: Settings) -> Outputs:
    """Return the outputs of a batch, and what is known of how they were made, from a forward alone.

    Raises:
        ConfigurationError: If an input cannot be used.
    """
    with ProbabilityMode() as mode:
        try:
            values = run_logits(model, inputs, settings)
        except OutputError:
            return Outputs(None)
        return Outputs(values, mode.made(values))
