"""Methods whose backward lets only positive gradients pass the ReLUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from saliency_callbacks.functional import cam
from saliency_callbacks.functional.maps import resize
from saliency_callbacks.methods.cam import fused_map
from saliency_callbacks.methods.gradients import OnePassGradient, needed
from saliency_callbacks.types import Evidence, Pass, Quantity, RawMap

__all__ = ["Deconvnet", "GuidedBackprop", "GuidedGradCAM"]


@dataclass(frozen=True)
class GuidedBackprop(OnePassGradient):
    r"""Guided backpropagation: a ReLU passes a gradient where it is positive and the ReLU was active.

    .. math:: R^{l} = \mathbb{1}[f^l > 0] \, \mathbb{1}[R^{l+1} > 0] \, R^{l+1}

    Values are signed, ``[N, C, *spatial]``. Beware: these maps depend little on the learned weights (Adebayo et al.
    2018); they show what the input looks like rather than what the model uses.

    Args:
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If the reduction is unknown.

    Example:
        Test whether the caveat holds for a model of your own:

        >>> from saliency_callbacks import RandomizationTest
        >>> test = RandomizationTest(["gradient", GuidedBackprop()])
        >>> # trainer = L.Trainer(callbacks=[test])

    Reference:
        Springenberg et al. 2014, arXiv 1412.6806, §3.4.
    """

    gradient_of: ClassVar[Pass] = Pass(relu_rule="guided")
    name: str = "guided_backprop"


@dataclass(frozen=True)
class Deconvnet(OnePassGradient):
    r"""Deconvolutional network: a ReLU passes a gradient where it is positive.

    .. math:: R^{l} = \mathbb{1}[R^{l+1} > 0] \, R^{l+1}

    Values are signed, ``[N, C, *spatial]``. The caveat of :class:`GuidedBackprop` holds.

    Args:
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If the reduction is unknown.

    Example:
        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor(["gradient", Deconvnet(reduction="positive_max")])
        >>> # trainer = L.Trainer(callbacks=[monitor])

    Reference:
        Zeiler & Fergus 2013, arXiv 1311.2901, §2.1.
    """

    gradient_of: ClassVar[Pass] = Pass(relu_rule="deconvnet")
    name: str = "deconvnet"


@dataclass(frozen=True)
class GuidedGradCAM(OnePassGradient):
    r"""Guided backpropagation times Grad-CAM, brought to the input's resolution.

    .. math:: R = R_\mathrm{guided} \odot \mathrm{upsample}(R_\mathrm{Grad\text{-}CAM})

    Values are signed, ``[N, C, *spatial]``. Grad-CAM is taken with the true gradient. The caveat of
    :class:`GuidedBackprop` holds.

    Args:
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If the reduction is unknown.

    Example:
        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor(["grad_cam", GuidedGradCAM()], target_layers="backbone.layer4")
        >>> # trainer = L.Trainer(callbacks=[monitor])

    Reference:
        Selvaraju et al. 2017, arXiv 1610.02391, §3.2.
    """

    gradient_of: ClassVar[Pass] = Pass(relu_rule="guided")
    name: str = "guided_grad_cam"

    @override
    def requires(self) -> Mapping[Pass, Quantity]:
        """One guided pass with its gradient, and one point pass with the target layers."""
        return {self.gradient_of: Quantity.GRADIENT, Pass(): Quantity.ACTIVATIONS}

    @override
    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Multiply the guided gradient by the upsampled map."""
        guided = needed(evidence[self.gradient_of].gradient)
        coarse = fused_map(evidence[Pass()], cam.grad_cam)
        values = guided * resize(coarse.values[:, 0], guided.shape[2:]).unsqueeze(1).to(guided)
        return RawMap(values, self.reduction, coarse.layer)
