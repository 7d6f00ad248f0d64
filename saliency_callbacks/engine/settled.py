"""Settings with what the model itself tells of its inputs: which axis is what, and what all samples share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.axes import recognize_layout
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.shared import recognize_shared
from saliency_callbacks.capture.text.inputs import TokenInputs
from saliency_callbacks.capture.text.settings import TokenSettings
from saliency_callbacks.config.nested import leaves
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError, InputError, OutputError
from saliency_callbacks.targets.logits import read_logits
from saliency_callbacks.targets.selectors import Target, selector

__all__ = ["settled", "settled_tokens"]

_VIDEO_DIMENSIONS = 5


def settled(model: nn.Module, inputs: Any, settings: Settings, target: Target | None = None) -> Settings:
    """Return settings in which nothing about the inputs is left open; where nothing is, nothing is run.

    Args:
        model: Any module.
        inputs: As for :func:`~saliency_callbacks.engine.run.run_engine`.
        settings: How it is explained; what they say is taken as it is.
        target: The explained score, which is compared where the model gives no class scores.

    Raises:
        ConfigurationError: If the inputs cannot be read, or it cannot be told what they mean.
    """
    batch = settings.read_alone(inputs)
    needs_layout = settings.tokens is None and settings.layout is None and batch.explained.ndim == _VIDEO_DIMENSIONS
    if needs_layout:
        settings = replace(settings, layout=_layout(model, inputs, settings))
    is_alone = batch.n_samples == 1 and settings.rows_at_once(1) == 1
    if settings.shared is None and batch.undeclared and not is_alone:
        settings = _with_shared(model, inputs, settings, target)
    return settings


def settled_tokens(model: nn.Module, inputs: Any, settings: Settings) -> TokenSettings | None:
    """Return what is known of tokens, with the embedding layer that is found, and the axes that it is given.

    Raises:
        ConfigurationError: If there is none, or the inputs cannot be read.
    """
    if settings.tokens is None or settings.tokens.layout is not None:
        return settings.tokens
    with settings.quiescent(model) as running:
        batch = running.read(model, inputs)
    assert isinstance(batch, TokenInputs), "read as text inputs"
    return replace(settings.tokens, embedding=batch.name or settings.tokens.embedding, layout=batch.layout)


def _layout(model: nn.Module, inputs: Any, settings: Settings) -> str:
    with settings.quiescent(model) as running:
        batch = running.read_alone(running.fed(inputs))
        # Of several inputs it is not yet known which belong to the sample.
        n_rows = batch.n_samples if batch.undeclared else 1
        samples = torch.arange(n_rows, device=batch.explained.device)
        rows = batch.explained.index_select(0, samples)
        return recognize_layout(model, rows, lambda: batch.call(model, rows.clone(), samples), running.forward_context)


def _with_shared(model: nn.Module, inputs: Any, settings: Settings, target: Target | None) -> Settings:
    with settings.quiescent(model, target) as running:
        batch = running.read_alone(running.fed(inputs))
        found = recognize_shared(model, batch, _reading(settings, target, batch), running.forward_context)
    if found is not None:
        return replace(settings, shared=tuple(sorted(found)))
    if settings.samples is None and settings.rows_at_once(batch.n_samples) == batch.n_samples:
        # All samples are run at once, as the training would.
        return settings
    raise InputError(
        f"the inputs {list(batch.undeclared)} have as many rows as there are samples ({batch.n_samples}), and the "
        "model's scores do not reveal whether each sample has its own row or all samples share them. This must be "
        f"known to run {settings.rows_at_once(batch.n_samples)} rows at once. Name the shared inputs with "
        f"shared=({batch.undeclared[0]!r},), or give shared=() if each sample has its own row"
    )


def _reading(settings: Settings, target: Target | None, batch: ModelInputs) -> Callable[[Any, Tensor], Tensor]:
    score = None if target is None or isinstance(target, str) else selector(target, batch.n_samples, settings.output_fn)

    def read(output: Any, samples: Tensor) -> Tensor:
        try:
            return read_logits(output, settings.output_fn)
        except OutputError:
            if score is not None:
                return score(output, samples)[0]
        found = (leaf for _, leaf in leaves(output) if isinstance(leaf, Tensor) and leaf.is_floating_point())
        first = next((leaf for leaf in found if leaf.shape[:1] == samples.shape), None)
        if first is None:
            raise ConfigurationError("the output has no row for each sample")
        return first

    return read
