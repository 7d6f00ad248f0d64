"""Class activation maps of pytorch-grad-cam and of TorchCAM."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.methods.external.calls import (
    check_call,
    constructors,
    is_of,
    names_of,
    passed_on,
    wrapped_class,
)
from saliency_callbacks.methods.external.method import TARGET_LAYERS, Explainer, ModelRun
from saliency_callbacks.methods.external.packages import imported, is_made_from, member, resolved_arguments, snake_case
from saliency_callbacks.types import TargetLayers

__all__ = ["GradCamMethod", "TorchCamMethod"]


@dataclass(frozen=True, repr=False)
class GradCamMethod(ModelRun):
    """Any class activation map of pytorch-grad-cam.

    It is built and called as ``CAM(model, target_layers, **constructor)(inputs, targets, **arguments)``. Its maps
    ``[N, H, W]`` are scaled to [0, 1], each by itself, and brought to the size of the input. Layers of vision
    transformers are given a ``reshape_transform``, unless ``constructor`` has one. As ``FinerCAM`` contrasts classes
    only where it is given none, it equals its ``base_method`` here; that of TorchCAM contrasts them.

    Args:
        cam: Name of a class of ``pytorch_grad_cam``, or the dotted path of another.
        arguments: Further arguments of the call, ``aug_smooth`` and ``eigen_smooth``.
        constructor: Further arguments of the class. Strings with dots are dotted paths of objects.
        name: As of :class:`~saliency_callbacks.methods.ExternalMethod`; by default e.g. ``pytorch_grad_cam_score_cam``.
        layer: As of :class:`~saliency_callbacks.methods.ExternalMethod`; by default the callback's target layers.
        signed: As of :class:`~saliency_callbacks.methods.ExternalMethod`.
        reduction: As of :class:`~saliency_callbacks.methods.ExternalMethod`.
        stochastic: As of :class:`~saliency_callbacks.methods.ExternalMethod`; known of ``RandomCAM``.
        rows: As of :class:`~saliency_callbacks.methods.ExternalMethod`.

    Raises:
        MethodError: If pytorch-grad-cam is not installed, or an argument cannot be used.

    Example:
        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor(["gradient", GradCamMethod("EigenGradCAM")], target_layers="backbone.layer4")
        >>> [method.name for method in monitor.settings.methods]
        ['gradient', 'pytorch_grad_cam_eigen_grad_cam']

    Reference:
        Gildenblat and contributors 2021, https://github.com/jacobgil/pytorch-grad-cam.
    """

    cam: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    constructor: Mapping[str, Any] = field(default_factory=dict, hash=False)
    name: str = field(default="", kw_only=True)
    layer: Any = field(default=TARGET_LAYERS, kw_only=True)

    def __post_init__(self) -> None:
        kind = self._kind()
        _complete(self, kind, prefix="pytorch_grad_cam", that_draw=("RandomCAM",))
        super().__post_init__()
        _check_constructor(self, kind, "pytorch_grad_cam")
        check_call(f"{self.name}: arguments", _grad_cam_call(kind), self.arguments, n_positional=3)

    def explainer(self, model: nn.Module, layers: TargetLayers) -> Explainer:
        """Return the class activation map for the model as it is now."""
        target_of = member(_grad_cam("utils.model_targets"), "ClassifierOutputTarget", what="target")
        kind = self._kind()
        constructor = {**_reshaping(kind, layers), **self.constructor}

        def attribute(inputs: Tensor, target: Tensor, samples: Tensor) -> Any:
            # It shows progress bars, which would break up that of the training.
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                cam = kind(model, list(layers), **constructor)
                try:
                    return cam(inputs, [target_of(index) for index in target.tolist()], **self.arguments)
                finally:
                    _release(cam)

        return attribute

    def _kind(self) -> Any:
        library = _grad_cam()
        maps = [name for name, one in vars(library).items() if _is_cam(one)]
        return member(library, self.cam, what="GradCamMethod: cam", known=maps)


@dataclass(frozen=True, repr=False)
class TorchCamMethod(ModelRun):
    """Any class activation map of TorchCAM.

    It is built and called as ``CAM(model, target_layer, **constructor)(target, model(inputs), **arguments)``. Its maps
    ``[N, h, w]`` are at the layer's own resolution, scaled to [0, 1] unless ``arguments`` has ``normalized=False``;
    those of several layers are fused as TorchCAM does.

    Args:
        cam: Name of a class of ``torchcam.methods``, or the dotted path of another.
        arguments: Further arguments of the call.
        constructor: Further arguments of the class. Strings with dots are dotted paths of objects.
        name: As of :class:`~saliency_callbacks.methods.ExternalMethod`; by default e.g. ``torchcam_score_cam``.
        layer: As of :class:`~saliency_callbacks.methods.ExternalMethod`; by default the callback's target layers.
        signed: As of :class:`~saliency_callbacks.methods.ExternalMethod`.
        reduction: As of :class:`~saliency_callbacks.methods.ExternalMethod`.
        stochastic: As of :class:`~saliency_callbacks.methods.ExternalMethod`; known of those of TorchCAM.
        rows: As of :class:`~saliency_callbacks.methods.ExternalMethod`.

    Raises:
        MethodError: If TorchCAM is not installed, or an argument cannot be used.

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> from torch.nn import AdaptiveAvgPool2d, Conv2d, Flatten, Sequential
        >>> model = Sequential(Conv2d(3, 8, 3), AdaptiveAvgPool2d(1), Flatten())
        >>> found = explain(model, torch.rand(2, 3, 8, 8), methods=TorchCamMethod("LayerCAM", name="cam"))["cam"]
        >>> found.values.shape, found.layer
        (torch.Size([2, 1, 6, 6]), '0')

    Reference:
        Fernandez 2020, https://github.com/frgfm/torch-cam.
    """

    cam: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    constructor: Mapping[str, Any] = field(default_factory=dict, hash=False)
    name: str = field(default="", kw_only=True)
    layer: Any = field(default=TARGET_LAYERS, kw_only=True)

    def __post_init__(self) -> None:
        kind = self._kind()
        _complete(self, kind, prefix="torchcam", that_draw=("SmoothGradCAMpp", "SSCAM"))
        super().__post_init__()
        _check_constructor(self, kind, "torchcam")
        call, *further = passed_on("torchcam", _steps(kind, self.constructor))
        own = ["targets"] if is_of("torchcam", call) else []
        check_call(f"{self.name}: arguments", call, self.arguments, n_positional=3, own=own, forwards=further)

    def explainer(self, model: nn.Module, layers: TargetLayers) -> Explainer:
        """Return the class activation map for the model as it is now."""
        kind = self._kind()
        constructor = {**_reshaping(kind, layers), **self.constructor}

        def attribute(inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
            with kind(model, list(layers), **constructor) as cam:
                maps = cam(target.tolist(), model(inputs), **self.arguments)
            found: Tensor = maps[0] if len(maps) == 1 else kind.fuse_cams(maps)
            return found.unsqueeze(1)

        return attribute

    def _kind(self) -> Any:
        library = imported("torchcam.methods", preset="TorchCamMethod", package="TorchCAM", extra="torchcam")
        return member(library, self.cam, what="TorchCamMethod: cam")


def _release(cam: Any) -> None:
    """Take the hooks of a map of pytorch-grad-cam off the model, as they are good for one call.

    Its own `with` swallows an IndexError, is not there for every class, and fails where gradients are views.
    """
    for one in getattr(cam, "base_cam_per_layer", [getattr(cam, "base_cam", cam)]):
        kept = getattr(one, "activations_and_grads", None)
        if kept is not None:
            kept.activations, kept.gradients = [], []
            kept.release()


def _complete(method: GradCamMethod | TorchCamMethod, kind: Any, *, prefix: str, that_draw: Sequence[str]) -> None:
    """Fill in what both take, in the form in which it is used; some of a library's maps draw random numbers."""
    name = method.name or f"{prefix}_{snake_case(method.cam)}"
    constructor = resolved_arguments(f"{name}: constructor", method.constructor)
    draws = any(is_made_from(one, *that_draw) for one in (kind, wrapped_class(kind, constructor)))
    found = {
        "name": name,
        "stochastic": method.stochastic or draws,
        "layer": TARGET_LAYERS if method.layer is None else method.layer,
        "arguments": resolved_arguments(f"{name}: arguments", method.arguments),
        "constructor": constructor,
    }
    for field_name, value in found.items():
        object.__setattr__(method, field_name, value)


def _check_constructor(method: GradCamMethod | TorchCamMethod, kind: Any, library: str) -> None:
    given = method.constructor
    forwards = list(passed_on(library, constructors(kind, given)))[1:]
    check_call(f"{method.name}: constructor", kind, given, n_positional=2, forwards=forwards)


def _steps(kind: Any, constructor: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what TorchCAM calls of a class, where each passes its ``**kwargs`` to the next."""
    yield kind.__call__
    wrapped = wrapped_class(kind, constructor)
    if wrapped is not None:
        yield from _steps(wrapped, {})
        return
    for name in ("compute_cams", "_get_weights", "_backprop"):
        if hasattr(kind, name):
            yield getattr(kind, name)


def _is_cam(kind: Any) -> bool:
    """Return whether pytorch-grad-cam can be asked for maps of targets by a class."""
    if not isinstance(kind, type) or names_of(kind)[:2] != ["model", "target_layers"]:
        return False
    return "targets" in names_of(_grad_cam_call(kind))


def _grad_cam_call(kind: Any) -> Any:
    """Return the function that tells what a call takes: wrappers pass all of it to their `forward`."""
    call = kind.__call__
    is_passed_on = is_of("pytorch_grad_cam", call) and not names_of(call) and hasattr(kind, "forward")
    return kind.forward if is_passed_on else call


def _reshaping(kind: Any, layers: TargetLayers) -> Mapping[str, Any]:
    """Return what tells a class how outputs of its layers become maps, if they are none and it takes that."""
    parameters = inspect.signature(kind).parameters
    takes_it = "reshape_transform" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    is_needed = layers.reshape_transform is not None and takes_it
    return {"reshape_transform": layers.reshape_transform} if is_needed else {}


def _grad_cam(module: str = "") -> Any:
    path = f"pytorch_grad_cam.{module}".removesuffix(".")
    return imported(path, preset="GradCamMethod", package="pytorch-grad-cam", extra="grad-cam")
