"""Models that stop their gradients: with ``no_grad``, which can be lifted, or with ``detach``, which may be meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.layers.grids import call_layouts
from saliency_callbacks.capture.layers.trace import Trace
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.targets.selectors import Target, selector

__all__ = ["computes_the_same", "explained"]

_NAMED_AT_MOST = 3


def computes_the_same(model: nn.Module, inputs: Any, settings: Settings, other: Settings) -> bool:
    """Return whether a model returns the same for the first sample, whichever of two settings it is run with."""
    one, another = (_tensors(_first_output(model, inputs, each)) for each in (settings, other))
    return len(one) == len(another) and all(
        mine.shape == its.shape and torch.allclose(mine, its, rtol=1e-3, atol=1e-5, equal_nan=True)
        for mine, its in zip(one, another, strict=True)
    )


def explained(
    error: ConfigurationError, model: nn.Module, inputs: Any, settings: Settings, target: Target
) -> ConfigurationError:
    """Return an error with what its cause is, where the model stops all gradients on their way to the input.

    Args:
        error: That the score has no gradient, or that no target layer was found.
        model: The model.
        inputs: The batch.
        settings: How it is explained.
        target: The explained score.
    """
    # What stops gradients may stop this, too, and the error is the one that was there before.
    with suppress(Exception):
        is_cut_off, names = _reached(model, inputs, settings, target)
        if is_cut_off:
            return type(error)(f"{error}. {_described(names)}")
    return error


def _described(names: Sequence[str]) -> str:
    cause = (
        "The model stops the gradient before it reaches the input: by a `detach()`, which may be intended and is "
        "therefore respected; by an operation without a gradient; or by code that turns off gradients where this "
        "cannot be intercepted (TorchScript, a `torch.autograd.Function`, `torch._C`), for which `torch.no_grad()` "
        "can be used instead"
    )
    if not names:
        return (
            f"{cause}. No layer with a spatial map lies above it. Explain a part of the model without it, with "
            "module='…' (of ModelReading, or the module itself)"
        )
    listed = ", ".join(map(repr, names[-_NAMED_AT_MOST:]))
    return f"{cause}. Class activation maps work at the layers above that: target_layers={listed}"


def _reached(model: nn.Module, inputs: Any, settings: Settings, target: Target) -> tuple[bool, list[str]]:
    """Return whether the input has no gradient, and which layers with a spatial map have one, in execution order."""
    through = replace(settings, through_no_grad=True)
    with through.quiescent(model, target) as running, running.forward_context():
        batch = running.read(model, inputs)
        select = selector(target, batch.n_samples, settings.output_fn)
        trace = Trace.of(model, batch, lambda output, samples: select(output, samples)[0], n_rows=batch.n_samples)
        if trace is None:
            return True, []
        if torch.autograd.grad(trace.score, trace.rows, retain_graph=True, allow_unused=True)[0] is not None:
            return False, []
        maps = [call for call, layout in zip(trace.calls, call_layouts(trace), strict=True) if layout is not None]
        gradients = torch.autograd.grad(trace.score, [call.output for call in maps], allow_unused=True) if maps else ()
    reached = [call.name for call, gradient in zip(maps, gradients, strict=True) if gradient is not None]
    return True, list(dict.fromkeys(reached))


def _first_output(model: nn.Module, inputs: Any, settings: Settings) -> Any:
    with settings.quiescent(model) as running:
        batch = running.read(model, inputs)
        first = torch.arange(1, device=batch.explained.device)
        with running.forward_context():
            return batch.call(model, batch.explained[:1].clone(), first)


def _tensors(output: Any) -> list[Tensor]:
    """Return the floating-point tensors of a model output, in order."""
    if isinstance(output, Tensor):
        return [output.detach()] if output.is_floating_point() else []
    if isinstance(output, (tuple, list)):
        return [tensor for item in output for tensor in _tensors(item)]
    fields = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
    return [tensor for item in fields.values() for tensor in _tensors(item)]
