"""What has to hold before a monitor can observe."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from saliency_callbacks.callbacks import host
from saliency_callbacks.capture.layers import find_layers
from saliency_callbacks.errors import ConfigurationError, ProbeError, SaliencyWarning

__all__ = ["check_namespaces", "check_validation_is_off", "explained_module"]


class _Named(Protocol):
    namespace: str


def explained_module(module: host.LightningModule, name: str | None) -> nn.Module:
    """Return the module that is explained: ``module`` itself, or its submodule ``name``.

    Raises:
        ConfigurationError: If there is no such submodule, or the LightningModule has no ``forward``.
    """
    if name is not None:
        return find_layers(module, name)[name]
    if not host.has_forward(module):
        raise ConfigurationError(
            f"{type(module).__name__} has no `forward`, so there is nothing to explain; define one, or name the "
            "submodule that takes the inputs with SaliencyMonitor(module='net')"
        )
    return module


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
