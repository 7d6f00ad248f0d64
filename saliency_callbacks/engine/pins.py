"""What a target with a name has to look up before it can be explained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED
from saliency_callbacks.engine.logits import with_view
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.settled import settled
from saliency_callbacks.targets.named import NamedTarget, Samples
from saliency_callbacks.targets.selectors import Target

__all__ = ["pinned_now", "run_pins", "settled_target"]


def settled_target(model: nn.Module, inputs: Any, settings: Settings, target: Target) -> Target:
    """Return a target in which nothing is left open, with the embeddings that the model has of another view now.

    Raises:
        TargetError: If the target does not fit the inputs.
    """
    return with_view(model, inputs, settings, pinned_now(model, inputs, settings, target))


def pinned_now(model: nn.Module, inputs: Any, settings: Settings, target: Target) -> Target:
    """Return a target that has looked up what it explains in the model's answer of now.

    Raises:
        TargetError: If the target does not fit the inputs.
    """
    if not isinstance(target, NamedTarget):
        return target
    batch = settings.read_alone(inputs)
    target = target.of(Samples(batch.n_samples, tuple(batch.explained.shape[2:]) or None))
    if not target.needs_pins:
        return target
    return target.pinned(run_pins(model, inputs, replace(settings, samples=None), target))


def run_pins(model: nn.Module, inputs: Any, settings: Settings, target: NamedTarget) -> dict[str, Tensor]:
    """Return what a target reads from the model's answer, a row for each sample, on the CPU, from a forward alone.

    Raises:
        ConfigurationError: If an input or the output cannot be used.
    """
    settings = replace(settings, arithmetic=UNCHANGED)
    return settings.within_memory(inputs, lambda fitting: _pins(model, inputs, fitting, target))


def _pins(model: nn.Module, inputs: Any, settings: Settings, target: NamedTarget) -> dict[str, Tensor]:
    settings = settled(model, inputs, settings, target)
    with settings.quiescent(model, target) as running, torch.no_grad():
        batch = settings.read_alone(settings.fed(inputs))
        samples = torch.arange(batch.n_samples, device=batch.explained.device)
        found = []
        for rows in samples.split(settings.rows_at_once(batch.n_samples)):
            with running.forward_context():
                output = batch.call(model, batch.explained.index_select(0, rows), rows)
            read = output if settings.output_fn is None else settings.output_fn(output)
            found.append({name: one.detach().cpu() for name, one in target.pins_of(read, rows).items()})
    return {name: torch.cat([one[name] for one in found]) for name in found[0]}
