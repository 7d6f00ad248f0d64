"""Methods by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import MethodError, nearest_names
from saliency_callbacks.methods.cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from saliency_callbacks.methods.gradients import Gradient, InputXGradient
from saliency_callbacks.methods.guided import Deconvnet, GuidedBackprop, GuidedGradCAM
from saliency_callbacks.methods.integrated import IntegratedGradients
from saliency_callbacks.methods.smooth import SmoothGrad
from saliency_callbacks.types import Method

__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "resolve_methods"]

ENTRY_POINT_GROUP = "saliency_callbacks.methods"
"""Packages add methods here: name → a function without arguments that returns a ``Method``."""

BUILT_IN: Mapping[str, Callable[[], Method]] = {
    "gradient": Gradient,
    "gradient_norm": lambda: Gradient(reduction="l2", name="gradient_norm"),
    "input_x_gradient": InputXGradient,
    "integrated_gradients": IntegratedGradients,
    "smooth_grad": SmoothGrad,
    "smooth_grad_squared": lambda: SmoothGrad(nt_type="smoothgrad_sq"),
    "var_grad": lambda: SmoothGrad(nt_type="vargrad"),
    "smooth_integrated_gradients": lambda: IntegratedGradients(nt_samples=10),
    "guided_backprop": GuidedBackprop,
    "deconvnet": Deconvnet,
    "guided_grad_cam": GuidedGradCAM,
    "grad_cam": GradCAM,
    "grad_cam_plus_plus": GradCAMPlusPlus,
    "hires_cam": HiResCAM,
    "layer_cam": LayerCAM,
    "xgrad_cam": XGradCAM,
}


def resolve_methods(methods: Any) -> tuple[Method, ...]:
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
                f"a method has name={name!r}; expected letters, digits and '_', '.', '+' or '-', as it is part of tags "
                "and file names"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MethodError(
            f"methods {twice} are given twice; give each its own `name=`, e.g. Gradient(name='gradient_l2')"
        )
    return resolved


def _resolve(method: Any) -> Method:
    if isinstance(method, str):
        return _by_name(method)
    if isinstance(method, Mapping) and "class_path" in method:
        return _by_class_path(method)
    if isinstance(method, Method) and not isinstance(method, type):
        return method
    raise MethodError(
        f"method {method!r} is of type {type(method).__name__}; expected a name such as 'grad_cam', an object such as "
        "GradCAM(), or a list of these"
    )


def _by_name(name: str) -> Method:
    if name in BUILT_IN:
        return BUILT_IN[name]()
    installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name in installed:
        factory: Callable[[], Method] = installed[name].load()
        return factory()
    raise MethodError(f"method {name!r} is unknown; {nearest_names(name, [*BUILT_IN, *installed])}")


def _by_class_path(config: Mapping[str, Any]) -> Method:
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
    if not isinstance(method, Method):
        raise MethodError(
            f"class_path {path!r} makes a {type(method).__name__}; expected a saliency method, with a "
            "`name`, `requires()` and `attribute()`"
        )
    return method
