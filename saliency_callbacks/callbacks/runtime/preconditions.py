"""What has to hold before a callback can observe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.arguments import is_auto
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.layers.find import find_layers
from saliency_callbacks.capture.text.settings import read_ids
from saliency_callbacks.config.nested import describe
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError, ProbeError, TargetError
from saliency_callbacks.probe.batch import ProbeBatch

__all__ = [
    "check_labels",
    "check_layers",
    "check_run",
    "check_runs",
    "check_validation_is_off",
    "explained_module",
    "state_for_probe",
    "tell_of_reading",
]


_State = TypeVar("_State", bound=RunState)


class _Identified(Protocol):
    @property
    def identity(self) -> str: ...


def explained_module(host: Host, name: str | None) -> nn.Module:
    """Return the module that is explained: the one that is trained, or its submodule ``name``.

    Raises:
        ConfigurationError: If there is no such submodule, or what is trained has no ``forward``.
    """
    if name is not None:
        return next(iter(find_layers(host.module, name).values()))
    if not host.has_forward:
        raise ConfigurationError(
            f"{type(host.module).__name__} has no `forward`, so there is nothing to explain; define one, or name the "
            "submodule that takes the inputs with reading=ModelReading(module='net')"
        )
    return host.module


def check_layers(model: nn.Module, target_layers: Any) -> None:
    """Raise a LayerError if a layer that is named does not exist."""
    if not is_auto(target_layers):
        find_layers(model, target_layers)


def check_run(host: Host, callback: _Identified) -> None:
    """Check that the run can be observed, and that none of its other callbacks writes where ``callback`` does.

    Raises:
        ConfigurationError: If it cannot, or one does.
    """
    host.check()
    same = [type(other).__name__ for other in host.callbacks if getattr(other, "identity", None) == callback.identity]
    if len(same) > 1:
        raise ConfigurationError(
            f"{' and '.join(same)} both write to {callback.identity!r}, so they would overwrite each other; give each "
            "its own `namespace=`"
        )


def check_validation_is_off(host: Host, callback: str) -> None:
    """Warn that ``callback`` sees nothing where the validation is switched off.

    Raises:
        ProbeError: If it is not, but there is nothing to validate with.
    """
    if not host.validation_is_off:
        raise ProbeError(
            "there is no validation data (or no `validation_step`) to take the probe from; pass `val_dataloaders`, or "
            "use probe=Probe(source='train') or probe=Probe.from_tensors(inputs, labels)"
        )
    notices.warn(
        f"limit_val_batches=0: without validation {callback} observes nothing. Use probe=Probe(source='train') to "
        "observe training epochs"
    )


def check_labels(probe: ProbeBatch, target: Any) -> None:
    """Raise a TargetError if labels are to be explained that the probe does not have."""
    if isinstance(target, str) and target == "label" and probe.labels is None:
        raise TargetError(
            "target='label', but the probe has no class labels; use target='initial_prediction', a class index or a "
            "callable, or give labels with Probe(unpack_batch=…)"
        )


def tell_of_reading(probe: ProbeBatch, target: Any) -> None:
    """Warn of what in the probe's batch was not read, or could be read in another way."""
    has_labels = probe.labels is not None or probe.multi_labels is not None
    if has_labels or not callable(target):
        # Whoever explains a score of their own, of a regression say, needs no classes.
        for note in probe.notes:
            notices.warn(note)


def state_for_probe(state: _State, probe: ProbeBatch) -> _State:
    """Return the state to go on with; warn where the probe is not the one that the state was made with."""
    if state.fingerprint not in (None, probe.fingerprint):
        notices.warn(
            "the probe is not the one of the checkpoint: the data or its transforms have changed. Maps of different "
            "samples do not compare, so what compares with them (drift, colors, filmstrip) starts anew"
        )
        state = state.restarted()
    return replace(state, indices=probe.indices, fingerprint=probe.fingerprint)


def check_runs(model: nn.Module, inputs: Any, settings: Settings) -> None:
    """Run the probe forward, as a validation step would.

    Raises:
        ProbeError: If the model cannot even do that, so that it is not the explanation that fails.
    """
    try:
        with quiescence(model), torch.no_grad(), settings.forward_context():
            read = ModelInputs.of if settings.tokens is None else read_ids
            batch = read(inputs, settings.attribute_to)
            rows = torch.arange(batch.n_samples, device=batch.explained.device)
            batch.call(model, batch.explained.clone(), rows)
    except Exception as error:
        raise ProbeError(
            f"{type(model).__name__} cannot be run on the probe ({type(error).__name__}: {error}). The probe's inputs "
            f"are {describe(inputs)}. Say what the model takes of a batch with Probe(unpack_batch=…), which tensors to "
            "feed with Probe.from_tensors(…), or which submodule to explain with reading=ModelReading(module=…)"
        ) from error
