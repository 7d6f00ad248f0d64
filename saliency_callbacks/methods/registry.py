"""Methods by name, and what each asks for: to add a method, add it here, and what is measured of it in ``measured``.

Needs no torch: a method's module is imported when the method is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import MethodError, nearest_names

if TYPE_CHECKING:
    from saliency_callbacks.methods.attention import AttentionRollout, GradientXAttention, LeGrad
    from saliency_callbacks.methods.cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
    from saliency_callbacks.methods.external.cams import GradCamMethod, TorchCamMethod
    from saliency_callbacks.methods.external.captum import CaptumMethod
    from saliency_callbacks.methods.external.method import ExternalMethod
    from saliency_callbacks.methods.external.zennit import ZennitMethod
    from saliency_callbacks.methods.gradients import Gradient, InputXGradient
    from saliency_callbacks.methods.guided import Deconvnet, GuidedBackprop, GuidedGradCAM
    from saliency_callbacks.methods.integrated import IntegratedGradients
    from saliency_callbacks.methods.smooth import SmoothGrad
    from saliency_callbacks.types import AnyMethod, Method

# What `saliency_callbacks.methods` exports.
__all__ = [
    "BUILT_IN",
    "ENTRY_POINT_GROUP",
    "AttentionRollout",
    "CaptumMethod",
    "Deconvnet",
    "ExternalMethod",
    "GradCAM",
    "GradCAMPlusPlus",
    "GradCamMethod",
    "Gradient",
    "GradientXAttention",
    "GuidedBackprop",
    "GuidedGradCAM",
    "HiResCAM",
    "InputXGradient",
    "IntegratedGradients",
    "LayerCAM",
    "LeGrad",
    "SmoothGrad",
    "TorchCamMethod",
    "XGradCAM",
    "ZennitMethod",
    "resolve_methods",
]

_HOMES = {
    "AttentionRollout": "attention",
    "CaptumMethod": "external.captum",
    "Deconvnet": "guided",
    "ExternalMethod": "external.method",
    "GradCAM": "cam",
    "GradCAMPlusPlus": "cam",
    "GradCamMethod": "external.cams",
    "Gradient": "gradients",
    "GradientXAttention": "attention",
    "GuidedBackprop": "guided",
    "GuidedGradCAM": "guided",
    "HiResCAM": "cam",
    "InputXGradient": "gradients",
    "IntegratedGradients": "integrated",
    "LayerCAM": "cam",
    "LeGrad": "attention",
    "SmoothGrad": "smooth",
    "TorchCamMethod": "external.cams",
    "XGradCAM": "cam",
    "ZennitMethod": "external.zennit",
}

ENTRY_POINT_GROUP = "saliency_callbacks.methods"
"""Packages add methods here: name → a function without arguments that returns a ``Method``."""


@dataclass(frozen=True)
class Cost:
    """What a method asks for; tested against its passes.

    Args:
        passes: How often each sample goes forward and backward; methods that share a pass share its cost.
        needs: What the model or the data must have.
    """

    passes: int = 1
    needs: tuple[str, ...] = ()

    @property
    def shares_pass(self) -> bool:
        """Whether all of that is the pass that every observation makes anyway."""
        return self.passes == 1 and "ReLUs" not in self.needs


def _make(kind: str, /, **arguments: Any) -> Method:
    method: Method = _class(kind)(**arguments)
    return method


def _class(name: str) -> Any:
    return getattr(import_module(f"saliency_callbacks.methods.{_HOMES[name]}"), name)


BUILT_IN: Mapping[str, Callable[[], Method]] = {
    "gradient": partial(_make, "Gradient"),
    "gradient_norm": partial(_make, "Gradient", reduction="l2", name="gradient_norm"),
    "input_x_gradient": partial(_make, "InputXGradient"),
    "integrated_gradients": partial(_make, "IntegratedGradients"),
    "smooth_grad": partial(_make, "SmoothGrad"),
    "smooth_grad_squared": partial(_make, "SmoothGrad", nt_type="smoothgrad_sq"),
    "var_grad": partial(_make, "SmoothGrad", nt_type="vargrad"),
    "smooth_integrated_gradients": partial(_make, "IntegratedGradients", nt_samples=10),
    "guided_backprop": partial(_make, "GuidedBackprop"),
    "deconvnet": partial(_make, "Deconvnet"),
    "guided_grad_cam": partial(_make, "GuidedGradCAM"),
    "grad_cam": partial(_make, "GradCAM"),
    "grad_cam_plus_plus": partial(_make, "GradCAMPlusPlus"),
    "hires_cam": partial(_make, "HiResCAM"),
    "layer_cam": partial(_make, "LayerCAM"),
    "xgrad_cam": partial(_make, "XGradCAM"),
    "legrad": partial(_make, "LeGrad"),
    "gradient_x_attention": partial(_make, "GradientXAttention"),
    "attention_rollout": partial(_make, "AttentionRollout"),
}

_MAP = "layer with a spatial map"
_RELUS = "ReLUs"
_BASELINE = "baseline"
_ATTENTION = "attention"

COSTS: Mapping[str, Cost] = {
    "gradient": Cost(),
    "gradient_norm": Cost(),
    "input_x_gradient": Cost(),
    "integrated_gradients": Cost(50, (_BASELINE,)),
    "smooth_grad": Cost(50),
    "smooth_grad_squared": Cost(50),
    "var_grad": Cost(50),
    "smooth_integrated_gradients": Cost(500, (_BASELINE,)),
    "guided_backprop": Cost(1, (_RELUS,)),
    "deconvnet": Cost(1, (_RELUS,)),
    "guided_grad_cam": Cost(2, (_MAP, _RELUS)),
    "grad_cam": Cost(1, (_MAP,)),
    "grad_cam_plus_plus": Cost(1, (_MAP,)),
    "hires_cam": Cost(1, (_MAP,)),
    "layer_cam": Cost(1, (_MAP,)),
    "xgrad_cam": Cost(1, (_MAP,)),
    "legrad": Cost(1, (_ATTENTION,)),
    "gradient_x_attention": Cost(1, (_ATTENTION,)),
    "attention_rollout": Cost(1, (_ATTENTION,)),
}
"""What each method asks for."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return _class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def resolve_methods(methods: Any) -> tuple[AnyMethod, ...]:
    """Return method objects from what a user writes.

    Args:
        methods: A name, a method object, a ``{"class_path": …, "init_args": …}`` mapping, or a list of these.

    Raises:
        MethodError: If a method is unknown, given twice under one name, or none is given.
    """
    methods = plain(methods)
    given = methods if isinstance(methods, Sequence) and not isinstance(methods, str) else [methods]
    resolved = tuple(_resolve(method) for method in given)
    if not resolved:
        raise MethodError(f"methods is empty; expected at least one of {sorted(BUILT_IN)}")
    names = [method.name for method in resolved]
    for name in names:
        if not re.fullmatch(r"[\w.+-]+", name):
            raise MethodError(
                f"a method has name={name!r}; expected letters, digits, '_', '.', '+' and '-', because it becomes "
                "part of tags and file names"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MethodError(f"methods {twice} appear twice. Give each its own `name=`, e.g. Gradient(name='gradient_l2')")
    return resolved


def _resolve(method: Any) -> AnyMethod:
    if isinstance(method, str):
        return _by_name(method)
    if isinstance(method, Mapping) and "class_path" in method:
        return _by_class_path(method)
    if _is_method(method):
        return method  # type: ignore[no-any-return]
    raise MethodError(
        f"method {method!r} is of type {type(method).__name__}; expected a name such as 'grad_cam', an object such as "
        "GradCAM(), or a list of these"
    )


def _by_name(name: str) -> AnyMethod:
    if name in BUILT_IN:
        return BUILT_IN[name]()
    installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name in installed:
        factory: Callable[[], AnyMethod] = installed[name].load()
        return factory()
    raise MethodError(f"method {name!r} is unknown; {nearest_names(name, [*BUILT_IN, *installed])}")


def _by_class_path(config: Mapping[str, Any]) -> AnyMethod:
    path = str(config["class_path"])
    # Without a module it is one of this package.
    factory = resolve_object(
        "class_path", path if "." in path else f"saliency_callbacks.methods.{path}", error=MethodError
    )
    arguments = dict(config.get("init_args") or {})
    try:
        method = factory(**arguments)
    except TypeError as error:
        raise MethodError(
            f"{path} does not take init_args {arguments} ({error}); expected the arguments of its constructor"
        ) from error
    if not _is_method(method):
        raise MethodError(
            f"class_path {path!r} creates a {type(method).__name__}; expected a saliency method, with `name`, "
            "`requires()` and `attribute()`, or such as ExternalMethod"
        )
    return method  # type: ignore[no-any-return]


def _is_method(value: Any) -> bool:
    from saliency_callbacks.types import Method, ModelMethod  # noqa: PLC0415 - with torch

    return isinstance(value, Method | ModelMethod) and not isinstance(value, type)
