"""Methods whose backward lets only positive gradients pass the ReLUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from saliency_callbacks.functional import cam
from saliency_callbacks.functional.maps import resize
from saliency_callbacks.methods._parameters import check_choice
from saliency_callbacks.methods.cam import fused_map
from saliency_callbacks.methods.gradients import needed
from saliency_callbacks.types import Evidence, Pass, Quantity, RawMap, Reduction

__all__ = ["Deconvnet", "GuidedBackprop", "GuidedGradCAM"]

_GUIDED = Pass(relu_rule="guided")
_DECONVNET = Pass(relu_rule="deconvnet")


@dataclass(frozen=True)
class GuidedBackprop:
    r"""Guided backpropagation: a ReLU passes a gradient where it is positive and the ReLU was active.

    .. math:: R^{l} = \mathbb{1}[f^l > 0] \, \mathbb{1}[R^{l+1} > 0] \, R^{l+1}

    Values are signed, ``[N, C, *spatial]``. Beware: these maps depend little on the learned weights (Adebayo et al.
    2018); they show what the input looks like rather than what the model uses.

    Args:
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If the reduction is unknown.

    Reference:
        Springenberg et al. 2014, arXiv 1412.6806, §3.4.
    """

    reduction: Reduction = "abs_max"
    name: str = "guided_backprop"

    def __post_init__(self) -> None:
        check_choice(self.name, "reduction", self.reduction, get_args(Reduction))

    def requires(self) -> Mapping[Pass, Quantity]:
        """One guided pass; its gradient."""
        return {_GUIDED: Quantity.GRADIENT}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Return the guided gradient as it is."""
        return RawMap(needed(evidence[_GUIDED].gradient), self.reduction)


@dataclass(frozen=True)
class Deconvnet:
    r"""Deconvolutional network: a ReLU passes a gradient where it is positive.

    .. math:: R^{l} = \mathbb{1}[R^{l+1} > 0] \, R^{l+1}

    Values are signed, ``[N, C, *spatial]``. The caveat of :class:`GuidedBackprop` holds.

    Args:
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If the reduction is unknown.

    Reference:
        Zeiler & Fergus 2013, arXiv 1311.2901, §2.1.
    """

    reduction: Reduction = "abs_max"
    name: str = "deconvnet"

    def __post_init__(self) -> None:
        check_choice(self.name, "reduction", self.reduction, get_args(Reduction))

    def requires(self) -> Mapping[Pass, Quantity]:
        """One deconvnet pass; its gradient."""
        return {_DECONVNET: Quantity.GRADIENT}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Return the deconvnet's gradient as it is."""
        return RawMap(needed(evidence[_DECONVNET].gradient), self.reduction)


@dataclass(frozen=True)
class GuidedGradCAM:
    r"""Guided backpropagation times Grad-CAM, brought to the input's resolution.

    .. math:: R = R_\mathrm{guided} \odot \mathrm{upsample}(R_\mathrm{Grad\text{-}CAM})

    Values are signed, ``[N, C, *spatial]``. Grad-CAM is taken with the true gradient. The caveat of
    :class:`GuidedBackprop` holds.

    Args:
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If the reduction is unknown.

    Reference:
        Selvaraju et al. 2017, arXiv 1610.02391, §3.2.
    """

    reduction: Reduction = "abs_max"
    name: str = "guided_grad_cam"

    def __post_init__(self) -> None:
        check_choice(self.name, "reduction", self.reduction, get_args(Reduction))

    def requires(self) -> Mapping[Pass, Quantity]:
        """One guided pass with its gradient, and one point pass with the target layers."""
        return {_GUIDED: Quantity.GRADIENT, Pass(): Quantity.ACTIVATIONS}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Multiply the guided gradient by the upsampled map."""
        guided = needed(evidence[_GUIDED].gradient)
        coarse = fused_map(evidence[Pass()], cam.grad_cam)
        values = guided * resize(coarse.values[:, 0], guided.shape[2:]).unsqueeze(1).to(guided)
        return RawMap(values, self.reduction, coarse.layer)
