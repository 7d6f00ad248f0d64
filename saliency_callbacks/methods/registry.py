"""Methods by name, what each asks for, and what was measured of it: to add a method, add it here.

Needs no torch: a method's module is imported when the method is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from saliency_callbacks.methods.facts import Cost, Faithfulness, Sanity

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
    from saliency_callbacks.types import Method

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

SANITY: Mapping[str, Sanity] = {
    "gradient": Sanity("passes", -0.01, 0.0),
    # The gradient's values with another reduction: what is correlated is the same.
    "gradient_norm": Sanity("passes", -0.01, 0.0),
    "input_x_gradient": Sanity("passes", 0.0, 0.0),
    "integrated_gradients": Sanity("passes", 0.02, 0.0),
    "smooth_grad": Sanity("passes", 0.0, 0.0),
    "smooth_grad_squared": Sanity("fails", 0.32, 0.35),
    "var_grad": Sanity("fails", 0.33, 0.37),
    "smooth_integrated_gradients": Sanity("passes", 0.02, 0.0),
    "guided_backprop": Sanity("fails", 0.53, 0.66),
    "deconvnet": Sanity("passes", 0.28, 0.28),
    "guided_grad_cam": Sanity("fails", 0.35, 0.4),
    "grad_cam": Sanity("passes", 0.03, 0.02),
    "grad_cam_plus_plus": Sanity("fails", 0.73, 0.66),
    "hires_cam": Sanity("passes", 0.02, 0.01),
    "layer_cam": Sanity("passes", 0.27, 0.2),
    "xgrad_cam": Sanity("passes", 0.16, 0.04),
    "legrad": Sanity("passes", 0.0, 0.0),
    "gradient_x_attention": Sanity("passes", 0.0, 0.02),
    "attention_rollout": Sanity("passes", 0.01, -0.02),
}
"""Measured by ``benchmarks/sanity.py`` on two small networks for digits, with 20 random copies each; of both, the one
on which the method fares worse. Methods of attention were measured on a small vision transformer for digits. Another
network may give another result: see ``RandomizationTest``."""

FAITHFULNESS: Mapping[str, Faithfulness] = {
    "gradient": Faithfulness(0.42, 0.46, 0.7),
    "gradient_norm": Faithfulness(0.45, 0.46, 0.71),
    "input_x_gradient": Faithfulness(0.32, 0.18, 0.6),
    "integrated_gradients": Faithfulness(0.37, 0.18, 0.65),
    "smooth_grad": Faithfulness(0.52, 0.61, 0.92),
    "smooth_grad_squared": Faithfulness(0.55, 0.51, 0.96),
    "var_grad": Faithfulness(0.32, 0.28, 0.95),
    "smooth_integrated_gradients": Faithfulness(0.33, 0.28, 0.84),
    "guided_backprop": Faithfulness(0.57, 0.31, 0.85),
    "deconvnet": Faithfulness(0.55, 0.27, 0.82),
    "guided_grad_cam": Faithfulness(0.25, 0.27, 0.93),
    "grad_cam": Faithfulness(0.22, 0.28, 0.93),
    "grad_cam_plus_plus": Faithfulness(0.49, 0.38, 0.99),
    "hires_cam": Faithfulness(0.45, 0.35, 0.93),
    "layer_cam": Faithfulness(0.54, 0.51, 0.96),
    "xgrad_cam": Faithfulness(0.5, 0.47, 0.97),
    "legrad": Faithfulness(0.17, 0.07, 0.99),
    "gradient_x_attention": Faithfulness(0.27, 0.16, 0.95),
    "attention_rollout": Faithfulness(0.49, 0.48, 0.98),
}
"""Measured by ``benchmarks/sanity.py`` on the same networks, with 64 digits each; of two, the lower value. Another
network may give another result: see ``FaithfulnessTest``."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return _class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
