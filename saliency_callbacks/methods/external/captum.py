"""The attributions of Captum."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.errors import ExternalMethodError, MethodError
from saliency_callbacks.methods.external.calls import check_call, names_of
from saliency_callbacks.methods.external.method import TARGET_LAYERS, Explainer, ModelRun
from saliency_callbacks.methods.external.packages import imported, is_made_from, member, resolved_arguments, snake_case
from saliency_callbacks.types import TargetLayers

__all__ = ["CaptumMethod"]

_DRAWING = (
    "GradientShap",
    "KernelShap",
    "LayerGradientShap",
    "Lime",
    "NeuronGradientShap",
    "NoiseTunnel",
    "ShapleyValueSampling",
)


@dataclass(frozen=True, repr=False)
class CaptumMethod(ModelRun):
    """Any attribution of Captum, of the input or of a layer.

    It is built and called as ``Attribution(model, **constructor).attribute(inputs, target=…, **arguments)``. Values of
    a layer ``[N, K, h, w]`` are summed over its channels.

    Args:
        attribution: Name of a class of ``captum.attr``, or the dotted path of another with its ``attribute``.
        arguments: Further arguments of ``attribute``. Strings with dots are dotted paths of objects; lists are tuples.
        constructor: Further arguments of the class, likewise. The ``attribution_method`` of ``NoiseTunnel`` is given
            by its name.
        name: As of :class:`~saliency_callbacks.methods.ExternalMethod`; by default e.g. ``captum_deep_lift``.
        layer: As of :class:`~saliency_callbacks.methods.ExternalMethod`; by default the callback's target layers, of
            the attributions that are about one.
        signed: As of :class:`~saliency_callbacks.methods.ExternalMethod`.
        reduction: As of :class:`~saliency_callbacks.methods.ExternalMethod`.
        stochastic: As of :class:`~saliency_callbacks.methods.ExternalMethod`; known of those of Captum.
        rows: As of :class:`~saliency_callbacks.methods.ExternalMethod`.

    Raises:
        MethodError: If Captum is not installed, or an argument cannot be used.

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> method = CaptumMethod("Occlusion", {"sliding_window_shapes": [3, 1, 1]}, name="occlusion")
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> explain(model, torch.rand(5, 3, 2, 2), methods=method)["occlusion"].values.shape
        torch.Size([5, 3, 2, 2])

    Reference:
        Kokhlikyan et al. 2020, arXiv 2009.07896.
    """

    attribution: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    constructor: Mapping[str, Any] = field(default_factory=dict, hash=False)
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        kind = self._kind()
        self._set("name", self.name or f"captum_{snake_case(self.attribution)}")
        self._set("stochastic", self.stochastic or is_made_from(kind, *_DRAWING))
        for one in ("arguments", "constructor"):
            given = resolved_arguments(f"{self.name}: {one}", getattr(self, one))
            # Captum tells tuples from lists, which are all that a configuration has.
            self._set(one, {name: _tuples(value) for name, value in given.items()})
        if self.layer is None and "layer" in inspect.signature(kind).parameters:
            self._set("layer", TARGET_LAYERS)
        super().__post_init__()
        if isinstance(self.layer, tuple) and len(self.layer) != 1:
            raise MethodError(
                f"{self.name}: layer={list(self.layer)!r}; expected one, as Captum explains one at a time"
            )
        self._check(kind)

    def check(self, model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
        """Refuse several layers."""
        if len(layers) > 1:
            raise ExternalMethodError(
                f"method {self.name!r} has the layers {list(layers)}; expected one, as Captum explains one layer at a "
                "time. Name it with layer='…'"
            )

    def explainer(self, model: nn.Module, layers: TargetLayers) -> Explainer:
        """Return the attribution for the model as it is now."""
        kind, constructor = self._kind(), dict(self.constructor)
        if layers:
            constructor["layer"] = layers[0]
        inner = constructor.pop("attribution_method", None)
        built = kind(model if inner is None else _inner(inner)(model), **constructor)
        takes_target = _takes_target(kind)

        def attribute(inputs: Tensor, target: Tensor, samples: Tensor) -> Any:
            arguments = {"target": target, **self.arguments} if takes_target else self.arguments
            found = built.attribute(inputs, **arguments)
            found = found[0] if isinstance(found, tuple) and len(found) == 1 else found
            return _by_place(found, inputs, layers) if layers and isinstance(found, Tensor) else found

        return attribute

    def _check(self, kind: Any) -> None:
        """Check what can be known before there is a model."""
        if not hasattr(kind, "attribute"):
            raise MethodError(
                f"{self.name}: {self.attribution} explains nothing by itself; expected a class with `attribute`, e.g. "
                "'DeepLift'"
            )
        is_noise = "attribution_method" in inspect.signature(kind).parameters
        if is_noise != ("attribution_method" in self.constructor):
            expected = "the name of a class in" if is_noise else "no"
            raise MethodError(
                f"{self.name}: constructor={dict(self.constructor)!r}; expected {expected} 'attribution_method', which "
                "is what NoiseTunnel adds noise to"
            )
        constructor = {name: value for name, value in self.constructor.items() if name != "attribution_method"}
        layer = [] if self.layer is None else ["layer"]
        check_call(f"{self.name}: constructor", kind, constructor, n_positional=1, own=layer)
        what, own = f"{self.name}: arguments", ["target"] if _takes_target(kind) else []
        if not is_noise:
            check_call(what, kind.attribute, self.arguments, n_positional=2, own=own)
            return
        inner = _inner(self.constructor["attribution_method"])
        check_call(f"{self.name}: attribution_method", inner, {}, n_positional=1)
        check_call(what, kind.attribute, self.arguments, n_positional=2, own=own, forwards=[inner.attribute])
        of_noise = names_of(kind.attribute)
        passed = {name: value for name, value in self.arguments.items() if name not in of_noise}
        check_call(what, inner.attribute, passed, n_positional=2, own=own)

    def _kind(self) -> Any:
        return member(_captum(), self.attribution, what="CaptumMethod: attribution")


def _captum() -> Any:
    return imported("captum.attr", preset="CaptumMethod", package="Captum", extra="captum")


def _takes_target(kind: Any) -> bool:
    parameters = inspect.signature(kind.attribute).parameters
    return "target" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _inner(attribution: Any) -> Any:
    return member(_captum(), attribution, what="attribution_method") if isinstance(attribution, str) else attribution


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _by_place(found: Tensor, inputs: Tensor, layers: TargetLayers) -> Tensor:
    """Return one value for each place of a layer's map; what is at the input is left as it is."""
    if found.shape == inputs.shape:
        return found
    if layers.reshape_transform is not None:
        found = layers.reshape_transform(found)
    return found.sum(dim=1, keepdim=True) if found.ndim == inputs.ndim else found
