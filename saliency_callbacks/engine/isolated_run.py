"""One run of a method that runs the model itself, after which everything is as before."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.hooks import ActivationRecorder
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.parameters import Changes, unchanged_parameters
from saliency_callbacks.capture.isolation.rng import seed_all
from saliency_callbacks.capture.isolation.waiting import wait_for
from saliency_callbacks.capture.layers.find import find_layers
from saliency_callbacks.capture.layers.maps import LayerMaps
from saliency_callbacks.capture.passes.run import Clean
from saliency_callbacks.engine.explained_model import ExplainedModel
from saliency_callbacks.engine.explanation import Cost, Unscaled
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ExternalMethodError
from saliency_callbacks.methods.external.method import ModelRun
from saliency_callbacks.methods.external.returned import read_maps
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import ModelMethod, RawMap, TargetLayers

__all__ = ["IsolatedRun", "Outcome"]

_NAMED_AT_MOST = 5


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a run.

    Args:
        cost: What it took.
        map: What it found; ``None`` where it failed.
        error: Why it failed.
    """

    cost: Cost
    map: Unscaled | None = None
    error: ExternalMethodError | None = None


@dataclass(eq=False)
class _Tries:
    """What is known of the tries so far, of which there are several where the memory is short.

    Args:
        n_rows: Rows that the model was run on.
        n_rows_back: Rows that a gradient was taken of.
        changes: What the last one changed.
    """

    n_rows: int = 0
    n_rows_back: int = 0
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True, eq=False)
class IsolatedRun:
    """A method, and what it explains.

    Args:
        method: The method.
        model: The model.
        inputs: The batch.
        settings: How it is explained.
        target: The explained score.
        clean: Score and class of every sample that is run.
        layers: Names of the layers that the method is about; ``None`` for none.
    """

    method: ModelMethod
    model: nn.Module
    inputs: Any
    settings: Settings
    target: Target
    clean: Clean
    layers: Any

    def outcome(self) -> Outcome:
        """Run the method, with fewer rows at once where the memory is not enough."""
        begin, tries = perf_counter(), _Tries()
        made, told = None, None
        try:
            made = self.settings.within_memory(self.inputs, lambda fitting: self._isolated(fitting, tries))
        except (Exception, SystemExit) as error:
            # A library's own program may want to exit.
            told = self._failure(error, tries.changes)
        wait_for(self.clean.score.device)
        n_samples = len(self.clean.score)
        cost = Cost(tries.n_rows / n_samples, tries.n_rows_back / n_samples, perf_counter() - begin)
        return Outcome(cost, made, told)

    def _isolated(self, settings: Settings, tries: _Tries) -> Unscaled:
        with settings.quiescent(self.model, self.target) as running, warnings.catch_warnings():
            # They are the library's, come at every observation, and are no error of the training.
            warnings.simplefilter("ignore")
            batch = running.read(self.model, self.inputs)
            explained = self._explained_model(batch, running)
            layers = self._target_layers(batch, running)
            if isinstance(self.method, ModelRun):
                self.method.check(self.model, layers.modules)
            with unchanged_parameters(self.model) as tries.changes:
                try:
                    maps = self._maps(explained, layers, batch, running)
                finally:
                    tries.n_rows += explained.n_rows
                    tries.n_rows_back += explained.n_rows_back
        if tries.changes.names:
            raise ExternalMethodError(
                f"method {self.method.name!r} changed {_listed(tries.changes)} of the model, which is put back; "
                "expected a function that leaves the model as it is. Let it work on a copy, or restore what it changes"
            )
        asked = settings.samples_of(batch.n_samples)
        counted = None if batch.counted is None else batch.counted[asked.start : asked.stop]
        is_at_layer = maps.shape[1:] != batch.explained.shape[1:]
        raw = RawMap(maps, self.method.reduction, layer="+".join(layers.modules) or None if is_at_layer else None)
        return Unscaled(self.method.name, raw, self.clean, tuple(batch.explained.shape[2:]), counted)

    def _explained_model(self, batch: ModelInputs, running: Settings) -> ExplainedModel:
        return ExplainedModel(
            self.model,
            batch,
            self.target,
            is_class=bool((self.clean.target >= 0).all()),
            output_fn=running.output_fn,
            forward_context=running.forward_context,
        )

    def _maps(self, model: ExplainedModel, layers: TargetLayers, batch: ModelInputs, running: Settings) -> Tensor:
        """Return the maps of all samples that are run, ``[M, …]``."""
        asked = running.samples_of(batch.n_samples)
        numbers = torch.arange(asked.start, asked.stop, device=batch.explained.device)
        is_alone = self.method.rows == "one" or model.tells_samples_apart
        explain = self.method.explainer(model, layers)
        found = []
        for samples in numbers.split(1 if is_alone else running.rows_at_once(batch.n_samples)):
            model.samples = samples
            # So that noise does not depend on how many samples were explained before.
            seed_all(running.seed)
            inputs = batch.explained.index_select(0, samples)
            # Of a callable there is only one score.
            classes = self.clean.target[samples - asked.start].clamp(min=0)
            target = classes if model.columns is None else model.columns[samples]
            with torch.enable_grad():
                # Copies, as it may write into what it is given, or change its shape.
                returned = explain(inputs.clone(), target, samples.clone())
            found.append(read_maps(self.method, returned, inputs))
        shapes = {tuple(one.shape[1:]) for one in found}
        if len(shapes) > 1:
            raise ExternalMethodError(
                f"method {self.method.name!r} returned maps of several shapes, {sorted(map(list, shapes))}; expected "
                "the same for all samples"
            )
        return torch.cat(found)

    def _target_layers(self, batch: ModelInputs, running: Settings) -> TargetLayers:
        if self.layers is None:
            return TargetLayers()
        modules = find_layers(self.model, list(self.layers) if isinstance(self.layers, tuple) else self.layers)
        maps = LayerMaps(self.model, batch, modules, running.reshape_transform, running.forward_context)
        maps.check_places()
        first = torch.arange(1, device=batch.explained.device)
        with torch.no_grad(), running.forward_context(), ActivationRecorder(modules) as recorder:
            batch.call(self.model, batch.copied(batch.explained[:1]), first)
        # Also so that nothing has to be found out where the library listens: layouts are kept.
        outputs: Mapping[str, Tensor] = recorder.outputs
        is_map = all(maps.to_map(name, output).shape == output.shape for name, output in outputs.items())
        name = next(iter(modules))
        return TargetLayers(modules, None if is_map else lambda output: maps.to_map(name, output))

    def _failure(self, error: BaseException, changes: Changes) -> ExternalMethodError:
        if isinstance(error, ExternalMethodError):
            return error
        also = f". It also changed {_listed(changes)} of the model, which is put back" if changes.names else ""
        told = ExternalMethodError(
            f"method {self.method.name!r} failed ({type(error).__name__}: {_text(error)}){also}; expected maps. Call "
            "it directly on the same model and inputs to see the cause, or leave it out"
        )
        told.__cause__ = error
        return told


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its message cannot be read"


def _listed(changes: Changes) -> str:
    named = ", ".join(map(repr, changes.names[:_NAMED_AT_MOST]))
    return named + (f" and {len(changes.names) - _NAMED_AT_MOST} more" if len(changes.names) > _NAMED_AT_MOST else "")
