"""What has to hold before a monitor can observe."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import nn

from saliency_callbacks.callbacks import host
from saliency_callbacks.callbacks.arguments import is_auto
from saliency_callbacks.callbacks.monitor_state import MonitorState
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers import find_layers
from saliency_callbacks.capture.quiescence import quiescence
from saliency_callbacks.errors import ConfigurationError, ProbeError, SaliencyWarning, TargetError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.description import describe

__all__ = [
    "check_labels",
    "check_layers",
    "check_namespaces",
    "check_runs",
    "check_validation_is_off",
    "explained_module",
    "state_for_probe",
]


class _Named(Protocol):
    namespace: str


def explained_module(module: host.LightningModule, name: str | None) -> nn.Module:
    """Return the module that is explained: ``module`` itself, or its submodule ``name``.

    Raises:
        ConfigurationError: If there is no such submodule, or the LightningModule has no ``forward``.
    """
    if name is not None:
        return next(iter(find_layers(module, name).values()))
    if not host.has_forward(module):
        raise ConfigurationError(
            f"{type(module).__name__} has no `forward`, so there is nothing to explain; define one, or name the "
            "submodule that takes the inputs with SaliencyMonitor(module='net')"
        )
    return module


def check_layers(model: nn.Module, target_layers: Any) -> None:
    """Raise a LayerError if a layer that is named does not exist."""
    if not is_auto(target_layers):
        find_layers(model, target_layers)


def check_namespaces(trainer: host.Trainer, monitor: _Named) -> None:
    """Check that no other monitor of the Trainer has the namespace of ``monitor``.

    Raises:
        ConfigurationError: If one has.
    """
    same = [
        callback
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if isinstance(callback, type(monitor)) and callback.namespace == monitor.namespace
    ]
    if len(same) > 1:
        raise ConfigurationError(
            f"{len(same)} {type(monitor).__name__}s have namespace={monitor.namespace!r}, so they would overwrite each "
            "other; give each its own `namespace=`"
        )


def check_validation_is_off(trainer: host.Trainer) -> None:
    """Warn where the validation is switched off.

    Raises:
        ProbeError: If it is not, but there is nothing to validate with.
    """
    if trainer.limit_val_batches != 0:
        raise ProbeError(
            "there is no validation data (or no `validation_step`) to take the probe from; pass `val_dataloaders`, or "
            "use probe=Probe(source='train') or probe=Probe.from_tensors(inputs, labels)"
        )
    host.rank_zero_warn(
        "limit_val_batches=0: without validation SaliencyMonitor observes nothing. Use probe=Probe(source='train') to "
        "observe training epochs",
        category=SaliencyWarning,
    )


def check_labels(probe: ProbeBatch, target: Any) -> None:
    """Raise a TargetError if labels are to be explained that the probe does not have."""
    if isinstance(target, str) and target == "label" and probe.labels is None:
        raise TargetError(
            "target='label', but the probe has no class labels; use target='initial_prediction', a class index or a "
            "callable, or give labels with Probe(unpack_batch=…)"
        )


def state_for_probe(state: MonitorState, probe: ProbeBatch) -> MonitorState:
    """Return the state to go on with; warn where the probe is not the one that the state was made with."""
    if state.fingerprint not in (None, probe.fingerprint):
        host.rank_zero_warn(
            "the probe is not the one of the checkpoint: the data or its transforms have changed. Maps of different "
            "samples do not compare, so drift, colours and filmstrip start anew",
            category=SaliencyWarning,
        )
        state = replace(state, pinned=None, histories={})
    return replace(state, indices=probe.indices, fingerprint=probe.fingerprint)


def check_runs(
    model: nn.Module,
    inputs: Any,
    attribute_to: int | str | None,
    forward_context: Callable[[], AbstractContextManager[Any]],
) -> None:
    """Run the probe forward, as a validation step would.

    Raises:
        ProbeError: If the model cannot even do that, so that it is not the explanation that fails.
    """
    try:
        with quiescence(model), torch.no_grad(), forward_context():
            batch = ModelInputs.of(inputs, attribute_to)
            rows = torch.arange(batch.n_samples, device=batch.explained.device)
            batch.call(model, batch.explained.clone(), rows)
    except Exception as error:
        raise ProbeError(
            f"{type(model).__name__} cannot be run on the probe ({type(error).__name__}: {error}). The probe's inputs "
            f"are {describe(inputs)}. Say what the model takes of a batch with Probe(unpack_batch=…), which tensors to "
            "feed with Probe.from_tensors(…), or which submodule to explain with SaliencyMonitor(module=…)"
        ) from error
