"""Saliency methods: each declares the passes it needs, and reduces their evidence to a map."""

from saliency_callbacks.methods.cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from saliency_callbacks.methods.gradients import Gradient, InputXGradient
from saliency_callbacks.methods.guided import Deconvnet, GuidedBackprop, GuidedGradCAM
from saliency_callbacks.methods.integrated import IntegratedGradients
from saliency_callbacks.methods.registry import BUILT_IN, ENTRY_POINT_GROUP, resolve_methods
from saliency_callbacks.methods.smooth import SmoothGrad

__all__ = [
    "BUILT_IN",
    "ENTRY_POINT_GROUP",
    "Deconvnet",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "GuidedBackprop",
    "GuidedGradCAM",
    "HiResCAM",
    "InputXGradient",
    "IntegratedGradients",
    "LayerCAM",
    "SmoothGrad",
    "XGradCAM",
    "resolve_methods",
]
