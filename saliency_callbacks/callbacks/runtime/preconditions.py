"""What has to hold before a callback can observe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.arguments import is_auto
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.capture.axes import describe_axes
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.layers.find import find_layers
from saliency_callbacks.capture.oom import is_out_of_memory
from saliency_callbacks.config.nested import describe
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.settled import settled
from saliency_callbacks.errors import ConfigurationError, OutputError, ProbeError, SaliencyError, TargetError
from saliency_callbacks.methods.external.method import TARGET_LAYERS, ModelRun
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.named import NamedTarget
from saliency_callbacks.targets.selectors import selector

__all__ = [
    "check_labels",
    "check_methods",
    "check_run",
    "check_runs",
    "check_validation_is_off",
    "diagnosed",
    "explained_module",
    "has_weights",
    "settled_on",
    "state_for_probe",
    "tell_of_reading",
    "uninitialized_layers",
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
            f"{type(host.module).__name__} has no `forward`, so there is nothing to explain. Define one, or name the "
            "submodule that takes the inputs with reading=ModelReading(module='net')"
        )
    return host.module


def settled_on(probe: ProbeBatch, host: Host, settings: Settings, module: str | None) -> Settings:
    """Return settings with what the model tells of the probe's inputs: which axis is what, and what is shared.

    Raises:
        ConfigurationError: If it cannot be told, or the model cannot be run on the probe at all.
    """
    asked = replace(settings, shared=probe.shared)
    model = explained_module(host, module)
    if uninitialized_layers(model):
        # The training is to initialize them.
        return asked
    inputs, running = host.to_device(probe.inputs), replace(asked, forward_context=host.forward_context)
    try:
        with host.without_logging():
            found = settled(model, inputs, running)
    except SaliencyError:
        raise
    except Exception:
        check_runs(model, inputs, running)
        raise
    if found.layout is not None and asked.layout is None:
        explained = found.read_alone(probe.inputs).explained
        axes = describe_axes(found.layout, explained)
        advice = "set reading=ModelReading(layout=…) if this is wrong"
        notices.tell_once(("layout", axes), f"the inputs are read as {axes}; {advice}")
    return replace(asked, shared=found.shared, layout=found.layout)


def check_methods(model: nn.Module, settings: Settings) -> None:
    """Check what can be known of the methods before the model is run.

    Raises:
        LayerError: If a layer that is named, by the callback or a method, does not exist.
        ExternalMethodError: If a method cannot explain the model, or these layers of it.
    """
    target_layers = _named_layers(model, settings.target_layers)
    if settings.tokens is not None:
        _named_layers(model, settings.tokens.embedding)
    for method in settings.methods:
        layer = getattr(method, "layer", None)
        is_of_callback = isinstance(layer, str) and layer == TARGET_LAYERS
        layers = target_layers if is_of_callback else _named_layers(model, layer)
        if isinstance(method, ModelRun):
            method.check(model, layers)


def _named_layers(model: nn.Module, layers: Any) -> Mapping[str, nn.Module]:
    """Return the layers that are named; none where they are to be found."""
    if layers is None or is_auto(layers):
        return {}
    return find_layers(model, list(layers) if isinstance(layers, tuple) else layers)


def check_run(host: Host, callback: _Identified) -> None:
    """Check that the run can be observed, and that none of its other callbacks writes where ``callback`` does.

    Raises:
        ConfigurationError: If it cannot, or one does.
    """
    host.check()
    same = [type(other).__name__ for other in host.callbacks if getattr(other, "identity", None) == callback.identity]
    if len(same) > 1:
        raise ConfigurationError(
            f"{' and '.join(same)} both write to {callback.identity!r}, so they would overwrite each other's files. "
            "Give each its own `namespace=`"
        )


def check_validation_is_off(host: Host, callback: str) -> None:
    """Warn that ``callback`` sees nothing where the validation is switched off.

    Raises:
        ProbeError: If it is not, but there is nothing to validate with.
    """
    if not host.validation_is_off:
        raise ProbeError(
            "there is no validation data (or no `validation_step`) to take the probe from. Pass `val_dataloaders`, or "
            "use probe=Probe(source='train') or probe=Probe.from_tensors(inputs, labels)"
        )
    notices.warn(
        ("validation is off", callback),
        f"limit_val_batches=0: {callback} observes nothing without validation. Use probe=Probe(source='train') to "
        "observe training epochs",
    )


def check_labels(probe: ProbeBatch, target: Any) -> None:
    """Raise a TargetError if labels are to be explained that the probe does not have."""
    has_labels = probe.labels is not None or probe.multi_labels is not None
    if isinstance(target, str) and target == "label" and not has_labels:
        raise TargetError(
            "target='label', but the probe has no class labels. Use target='initial_prediction', a class index or a "
            "callable, or give labels with Probe(unpack_batch=…)"
        )


def tell_of_reading(probe: ProbeBatch, target: Any) -> None:
    """Warn of what in the probe's batch was not read, or could be read in another way."""
    has_labels = probe.labels is not None or probe.multi_labels is not None
    if has_labels or not callable(target):
        # Whoever explains a score of their own, of a regression say, needs no classes.
        for note in probe.notes:
            notices.warn(("how the probe is read", note), note)


def state_for_probe(state: _State, probe: ProbeBatch) -> _State:
    """Return the state to go on with; warn where the probe is not the one that the state was made with."""
    if state.fingerprint not in (None, probe.fingerprint):
        notices.warn(
            "other probe",
            "the probe differs from that of the checkpoint: the data or its transforms have changed. Maps of "
            "different samples cannot be compared, so drift, color scales and filmstrips start anew",
        )
        state = state.restarted()
    return replace(state, indices=probe.indices, fingerprint=probe.fingerprint)


def uninitialized_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers that get their weights with their first batch, and have none yet."""
    return [
        name or type(model).__name__
        for name, module in model.named_modules()
        if any(map(nn.parameter.is_lazy, (*module.parameters(recurse=False), *module.buffers(recurse=False))))
    ]


def has_weights(model: nn.Module, host: Host) -> bool:
    """Return whether an observation leaves the training its own initial weights; warn where it does not.

    Layers such as ``LazyLinear`` get their weights with their first batch: that of an observation would initialize them
    with other random numbers than the training has.
    """
    lazy = uninitialized_layers(model)
    # What the training has not initialized by its first step, it does not use.
    if not lazy or host.global_step:
        return True
    notices.warn_of_late_start(
        f"{', '.join(map(repr, lazy[:3]))} {'are' if len(lazy) > 1 else 'is'} uninitialized before the first batch",
        "an observation would initialize them",
    )
    return False


@contextmanager
def diagnosed(check: Callable[[], None]) -> Iterator[None]:
    """Find out what is wrong where something fails inside without saying so itself.

    Args:
        check: Raises what is wrong, if it finds anything.
    """
    try:
        yield
    except SaliencyError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            check()
        raise


def check_runs(model: nn.Module, inputs: Any, settings: Settings, target: Any = None) -> None:
    """Run the probe forward, as a validation step would, and read its output with the functions that were given.

    Raises:
        ProbeError: If the model cannot even do that, so that it is not the explanation that fails.
        OutputError: If ``output_fn`` fails.
        TargetError: If a callable target does.
    """
    with quiescence(model, seed=settings.seed), torch.no_grad():
        try:
            with settings.forward_context():
                batch = settings.read_alone(inputs)
                rows = torch.arange(batch.n_samples, device=batch.explained.device)
                output = batch.call(model, batch.explained.clone(), rows)
        except Exception as error:
            raise ProbeError(
                f"{type(model).__name__} cannot be run on the probe ({type(error).__name__}: {error}). The probe's "
                f"inputs are {describe(inputs)}. Say which part of a batch the model takes with "
                "Probe(unpack_batch=…), give the tensors with Probe.from_tensors(…), or name the submodule to explain "
                "with reading=ModelReading(module=…)"
            ) from error
        if settings.output_fn is not None:
            _check_function("output_fn", settings.output_fn, output, OutputError)
        if callable(target) and not isinstance(target, NamedTarget):
            select = selector(target, batch.n_samples, settings.output_fn)
            _check_function("target", lambda given: select(given, rows), output, TargetError)


def _check_function(
    argument: str, function: Callable[[Any], Any], output: Any, error_type: type[ConfigurationError]
) -> None:
    try:
        function(output)
    except SaliencyError:
        raise
    except Exception as error:
        raise error_type(
            f"{argument} fails ({type(error).__name__}: {error}) on what the model returns for the probe, "
            f"{describe(output)}; Give a function that accepts this output"
        ) from error
