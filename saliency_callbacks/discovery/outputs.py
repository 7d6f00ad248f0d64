"""How a model's outputs are read without a Trainer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from saliency_callbacks.engine.outputs import run_outputs
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import OutputError, TargetError, warn
from saliency_callbacks.targets.link import Link
from saliency_callbacks.targets.recognition import recognize

__all__ = ["N_RECOGNIZED", "describe_broken", "link_of_outputs"]

N_RECOGNIZED = 32
"""The outputs of so many samples tell what they are."""


def link_of_outputs(model: nn.Module, inputs: Any, labels: Tensor, settings: Settings) -> Link:
    """Return how the outputs are read.

    Args:
        model: The model.
        inputs: What it is fed, of a few samples.
        labels: The classes of all samples.
        settings: How it is run.

    Raises:
        OutputError: If no class scores are found.
        TargetError: If the outputs are embeddings, or there are labels without an output.

    Warns:
        SaliencyWarning: Some outputs are not finite.
    """
    outputs = run_outputs(model, inputs, settings)
    if outputs.values is None:
        raise OutputError(
            f"no class scores [N, classes] were found in what {type(model).__name__} returns; expected them alone, as "
            "`.logits`, or as the only tensor of two dimensions. Give `output_fn=`, a function output -> class scores"
        )
    found = recognize(outputs.values, are_probabilities=outputs.are_probabilities, labels=labels)
    if found.kind == "embeddings":
        raise TargetError(
            f"{found.reason}: the outputs are taken to be embeddings, but shortcuts are defined by class. Give a "
            "model that returns class scores, or `output_fn=`"
        )
    broken = describe_broken(outputs.values)
    if broken:
        warn("broken logits of a search", broken)
    return Link(found.kind)


def describe_broken(logits: Tensor) -> str:
    """Say what logits ``[N, K]`` that are not finite mean for a search; nothing where all are finite.

    Example:
        >>> import torch
        >>> describe_broken(torch.zeros(2, 3))
        ''
    """
    n_broken = int((~logits.isfinite().all(dim=1)).sum())
    if not n_broken:
        return ""
    return (
        f"the logits of {n_broken} of {len(logits)} samples are not finite (diverged training, or fp16 overflow), so "
        "no cue can be shown to be used. This does not rule out that one is"
    )
