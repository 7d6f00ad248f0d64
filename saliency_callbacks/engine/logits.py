"""The class scores of a batch, from a forward alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.settled import settled
from saliency_callbacks.targets.prompts import Prompted, text_embeddings
from saliency_callbacks.targets.selectors import Target, sample_logits
from saliency_callbacks.targets.similarity import SimilarityTarget

__all__ = ["run_logits", "with_view"]


def run_logits(model: nn.Module, inputs: Any, settings: Settings) -> Tensor:
    """Return the class scores of a batch, ``[N, classes]``, from a forward alone, under the same precautions.

    Whatever ``arithmetic`` the settings have: scores are those of the model as it is trained.

    Raises:
        ConfigurationError: If an input or output cannot be used, or there are not as many outputs as inputs.
    """
    settings = replace(settings, arithmetic=UNCHANGED)
    return settings.within_memory(inputs, lambda fitting: _logits(model, inputs, fitting))


def _logits(model: nn.Module, inputs: Any, settings: Settings) -> Tensor:
    settings = settled(model, inputs, settings)
    with settings.quiescent(model) as running, torch.no_grad():
        # Scores of text inputs need no embedding layer, so that a model in which none is found still has them.
        batch = settings.read_alone(settings.fed(inputs))
        asked = settings.samples_of(batch.n_samples)
        samples = torch.arange(asked.start, asked.stop, device=batch.explained.device)
        found = []
        for rows in samples.split(settings.rows_at_once(batch.n_samples)):
            with running.forward_context():
                output = batch.call(model, batch.explained.index_select(0, rows), rows)
            found.append(sample_logits(output, settings.output_fn, rows).detach().clone())
        return torch.cat(found)


def with_view(model: nn.Module, inputs: Any, settings: Settings, target: Target) -> Target:
    """Return a target that compares with another view or a text, with the embeddings that the model has of it now."""
    if isinstance(target, Prompted):
        with settings.quiescent(model) as running, torch.no_grad(), running.forward_context():
            return target.settled(text_embeddings(model, target))
    if not isinstance(target, SimilarityTarget) or target.view is None:
        return target
    view = _like(settings.read_alone(inputs).explained, target.view)
    return target.settled(run_logits(model, view, replace(settings, samples=None)))


def _like(explained: Tensor, view: Any) -> Any:
    """Return another view where the inputs are, in their precision."""
    if isinstance(view, Tensor):
        return view.to(explained) if view.is_floating_point() else view.to(explained.device)
    if isinstance(view, Mapping):
        return {key: _like(explained, value) for key, value in view.items()}
    return tuple(_like(explained, value) for value in view) if isinstance(view, tuple | list) else view
