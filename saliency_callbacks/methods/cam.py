"""The class activation map family: all from the activations and gradients of one point pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from saliency_callbacks.functional import cam
from saliency_callbacks.types import Evidence, Pass, Quantity, RawMap

__all__ = ["GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "XGradCAM", "fused_map"]

CamFormula = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _ClassActivationMap:
    """A CAM with its formula; of several target layers, the scaled maps are averaged."""

    formula: ClassVar[CamFormula]
    name: str = ""

    def requires(self) -> Mapping[Pass, Quantity]:
        """One point pass; activations and gradients of the target layers."""
        return {Pass(): Quantity.ACTIVATIONS}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Apply the formula to every target layer."""
        return fused_map(evidence[Pass()], type(self).formula)


@dataclass(frozen=True)
class GradCAM(_ClassActivationMap):
    r"""Gradient-weighted class activation map.

    .. math:: R = \mathrm{ReLU}\Big(\sum_k \alpha_k A^k\Big), \qquad
        \alpha_k = \frac{1}{hw} \sum_{ij} \frac{\partial f_c}{\partial A^k_{ij}}

    Values ``[N, 1, h, w]`` are non-negative, at the target layer's resolution.

    Args:
        name: Key of the result and ``{method}`` in the logged tags.

    Example:
        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor(GradCAM(), target_layers="backbone.layer4")
        >>> # trainer = L.Trainer(callbacks=[monitor])

    Reference:
        Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2.
    """

    formula: ClassVar[CamFormula] = staticmethod(cam.grad_cam)
    name: str = "grad_cam"


@dataclass(frozen=True)
class GradCAMPlusPlus(_ClassActivationMap):
    r"""Grad-CAM with a weight for every position, for several objects of one class.

    .. math:: R = \mathrm{ReLU}\Big(\sum_k w_k A^k\Big), \quad w_k = \sum_{ij} \alpha^k_{ij} \mathrm{ReLU}(g^k_{ij}),
        \quad \alpha^k_{ij} = \frac{(g^k_{ij})^2}{2 (g^k_{ij})^2 + \sum_{ab} A^k_{ab} (g^k_{ij})^3}

    with :math:`\alpha = 0` where :math:`g = 0`. Values ``[N, 1, h, w]`` are non-negative.

    Args:
        name: Key of the result and ``{method}`` in the logged tags.

    Example:
        It shares the pass of Grad-CAM, so that both together cost one pass:

        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor(["grad_cam", GradCAMPlusPlus()])
        >>> GradCAMPlusPlus().requires() == GradCAM().requires()
        True

    Reference:
        Chattopadhay et al. 2018, arXiv 1710.11063, eq. 5 and 19.
    """

    formula: ClassVar[CamFormula] = staticmethod(cam.grad_cam_plus_plus)
    name: str = "grad_cam_plus_plus"


@dataclass(frozen=True)
class HiResCAM(_ClassActivationMap):
    r"""Gradient times activation at every position, without averaging the gradient.

    .. math:: R = \mathrm{ReLU}\Big(\sum_k g^k \odot A^k\Big)

    Values ``[N, 1, h, w]`` are non-negative.

    Args:
        name: Key of the result and ``{method}`` in the logged tags.

    Example:
        Where only average pooling follows the layer, it equals Grad-CAM:

        >>> import torch
        >>> from saliency_callbacks import explain
        >>> from torch.nn import AdaptiveAvgPool2d, Conv2d, Flatten, Sequential, Sigmoid
        >>> model = Sequential(Conv2d(3, 8, 3), Sigmoid(), AdaptiveAvgPool2d(1), Flatten())
        >>> found = explain(model, torch.rand(2, 3, 8, 8), methods=[GradCAM(), HiResCAM()])
        >>> torch.allclose(found["hires_cam"].values, found["grad_cam"].values)
        True

    Reference:
        Draelos & Carin 2020, arXiv 2011.08891, §3.
    """

    formula: ClassVar[CamFormula] = staticmethod(cam.hires_cam)
    name: str = "hires_cam"


@dataclass(frozen=True)
class LayerCAM(_ClassActivationMap):
    r"""Positive gradient times activation at every position; works at early layers too.

    .. math:: R = \mathrm{ReLU}\Big(\sum_k \mathrm{ReLU}(g^k) \odot A^k\Big)

    Values ``[N, 1, h, w]`` are non-negative.

    Args:
        name: Key of the result and ``{method}`` in the logged tags.

    Example:
        Maps of an early and a late layer, joined into one:

        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor(LayerCAM(), target_layers=["backbone.layer1", "backbone.layer4"])

    Reference:
        Jiang et al. 2021, IEEE TIP 30, eq. 5 and 6.
    """

    formula: ClassVar[CamFormula] = staticmethod(cam.layer_cam)
    name: str = "layer_cam"


@dataclass(frozen=True)
class XGradCAM(_ClassActivationMap):
    r"""Grad-CAM whose weights average the gradient by the activation.

    .. math:: R = \mathrm{ReLU}\Big(\sum_k w_k A^k\Big), \qquad
        w_k = \frac{\sum_{ij} g^k_{ij} A^k_{ij}}{\sum_{ij} A^k_{ij}}

    Values ``[N, 1, h, w]`` are non-negative.

    Args:
        name: Key of the result and ``{method}`` in the logged tags.

    Example:
        >>> from saliency_callbacks import RandomizationTest
        >>> test = RandomizationTest([GradCAM(), XGradCAM()])
        >>> # trainer = L.Trainer(callbacks=[test])

    Reference:
        Fu et al. 2020, arXiv 2008.02312, eq. 7.
    """

    formula: ClassVar[CamFormula] = staticmethod(cam.xgrad_cam)
    name: str = "xgrad_cam"


def fused_map(evidence: Evidence, formula: CamFormula) -> RawMap:
    """Apply ``formula`` to the target layers and join their maps.

    One layer's map is kept as it is. Of several, each map is scaled by its maximum and brought to the finest layer's
    resolution before they are averaged, and every layer's own map ``[N, 1, h, w]`` is in ``extras``. A layer that is
    given each frame of a video on its own has a map a frame, each by itself.
    """
    maps = {
        layer: (_by_frame(formula) if layer in evidence.framewise else formula)(
            activation, evidence.activation_gradients[layer]
        )
        for layer, activation in evidence.activations.items()
    }
    if len(maps) == 1:
        ((layer, only),) = maps.items()
        return RawMap(only.unsqueeze(1), layer=layer)
    fused = cam.fuse(list(maps.values()))
    extras = {layer: layer_map.unsqueeze(1) for layer, layer_map in maps.items()}
    return RawMap(fused.unsqueeze(1), layer="+".join(maps), extras=extras)


def _by_frame(formula: CamFormula) -> CamFormula:
    """Return the formula for ``[N, K, T, h, w]`` with each of the T frames as a sample of its own."""

    def apply(activations: Tensor, gradients: Tensor) -> Tensor:
        frames, slopes = (values.movedim(2, 1).flatten(0, 1) for values in (activations, gradients))
        maps = formula(frames, slopes)
        return maps.reshape(len(activations), -1, *maps.shape[1:])

    return apply
