"""What a pass measures, what a method makes of it, and the map that people see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from typing import Literal

from torch import Tensor

from saliency_callbacks.types.attention import AttentionEvidence

__all__ = ["Attribution", "Evidence", "Quantity", "RawMap", "Reduction"]

Reduction = Literal["abs_max", "positive_max", "l2", "abs_sum", "sum"]


class Quantity(Flag):
    """What a method wants kept of a pass; the union over all methods decides what is computed.

    ``ATTENTION`` is the attention weights of all layers, ``ATTENTION_GRADIENT`` that of the score with respect to them,
    and ``OWN_ATTENTION_GRADIENT`` that of each layer's own score; all three are of the point pass only.

    Example:
        >>> wanted = Quantity.GRADIENT | Quantity.ACTIVATIONS
        >>> Quantity.GRADIENT in wanted, Quantity.PATH_INTEGRAL in wanted
        (True, False)
    """

    GRADIENT = auto()
    GRADIENT_SQUARE = auto()
    PATH_INTEGRAL = auto()
    ACTIVATIONS = auto()
    ATTENTION = auto()
    ATTENTION_GRADIENT = auto()
    OWN_ATTENTION_GRADIENT = auto()


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one pass measured for one target; what no method asked for is ``None`` or empty.

    Args:
        inputs: The explained input, ``[N, C, *spatial]``.
        target: Explained class of each sample ``[N]``, -1 where the target is a callable.
        score: Explained score of each sample ``[N]``; the mean over the rows of a multi-sample pass.
        gradient: Mean over the pass of the gradient of the score, ``[N, C, *spatial]``.
        gradient_square: Mean over the pass of the squared gradient.
        path_integral: Mean over the paths of Σ weight · (end - start) ⊙ gradient.
        score_change: Mean over the paths of score(end) - score(start), ``[N]``.
        n_points: Points on each path, or noisy copies, that each sample took, ``[N]``, in a pass that goes on
            :class:`~saliency_callbacks.types.Until` an error is small.
        standard_error: Relative standard error of such a noise pass, ``[N]``: of the mean gradient or of the mean
            square, whichever is larger.
        activations: Output of each target layer as ``[N, K, *layer_spatial]``, in execution order.
        activation_gradients: Gradient of the score with respect to each of ``activations``.
        attention: What was measured of the model's attention.
        framewise: Those of ``activations`` whose layer is given each frame of a video on its own; the frames are the
            first of their spatial dimensions.

    Example:
        Try out a method without a model:

        >>> import torch
        >>> from saliency_callbacks.methods import InputXGradient
        >>> from saliency_callbacks.types import Pass
        >>> inputs, gradient = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, -1.0]]])
        >>> evidence = Evidence(inputs, target=torch.tensor([0]), score=torch.tensor([1.0]), gradient=gradient)
        >>> InputXGradient().attribute({Pass(): evidence}).values
        tensor([[[ 3., -2.]]])
    """

    inputs: Tensor
    target: Tensor
    score: Tensor
    gradient: Tensor | None = None
    gradient_square: Tensor | None = None
    path_integral: Tensor | None = None
    score_change: Tensor | None = None
    n_points: Tensor | None = None
    standard_error: Tensor | None = None
    activations: Mapping[str, Tensor] = field(default_factory=dict)
    activation_gradients: Mapping[str, Tensor] = field(default_factory=dict)
    framewise: frozenset[str] = frozenset()
    attention: AttentionEvidence | None = None


@dataclass(frozen=True, eq=False)
class RawMap:
    """What a method makes of the evidence, before it is brought to the input's resolution.

    Args:
        values: Signed values, ``[N, C, *spatial]`` or ``[N, 1, h, w]``.
        reduction: How the channels become one non-negative map.
        layer: Where the map was taken; ``None`` for methods at the input.
        extras: Further tensors, one row per sample.

    Example:
        >>> import torch
        >>> cam = RawMap(torch.rand(2, 1, 7, 7), layer="backbone.layer4")
        >>> cam.values.shape, cam.reduction
        (torch.Size([2, 1, 7, 7]), 'sum')
    """

    values: Tensor
    reduction: Reduction = "sum"
    layer: str | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Attribution:
    """The explanation of one batch by one method.

    Args:
        method: Name of the method.
        values: Raw signed values: ``[N, C, *spatial]`` for input methods, ``[N, 1, h, w]`` at the layer's
            own resolution for class activation maps.
        magnitude: Non-negative, unnormalized map at the input's resolution, ``[N, *spatial]``. Comparable
            between epochs.
        heatmap: ``magnitude`` clipped at its 99th percentile and scaled to [0, 1], each map on its own.
        target: Explained class of each sample ``[N]``, -1 where the target is a callable.
        score: Explained score (a logit) of each sample ``[N]``.
        layer: Target layer; ``None`` for input methods, names joined by ``+`` for several.
        extras: Further tensors, e.g. ``convergence_delta [N]`` of integrated gradients.
        reduction: How the channels of ``values`` give ``magnitude``, before it is resized; ``None`` where they do not.
        counted: Which positions are part of the sample, bool ``[N, *spatial]``: padding and special tokens are not.
            Only these are compared and scaled; ``None`` where all are.

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> attribution = explain(model, torch.rand(5, 3, 2, 2), methods="gradient", target=1)["gradient"]
        >>> attribution.magnitude.shape, attribution.target
        (torch.Size([5, 2, 2]), tensor([1, 1, 1, 1, 1]))
    """

    method: str
    values: Tensor
    magnitude: Tensor
    heatmap: Tensor
    target: Tensor
    score: Tensor
    layer: str | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    reduction: Reduction | None = None
    counted: Tensor | None = None

    def cpu(self) -> Attribution:
        """Return a copy whose tensors are on the CPU."""
        return replace(
            self,
            values=self.values.cpu(),
            magnitude=self.magnitude.cpu(),
            heatmap=self.heatmap.cpu(),
            target=self.target.cpu(),
            score=self.score.cpu(),
            extras={name: value.cpu() for name, value in self.extras.items()},
            counted=None if self.counted is None else self.counted.cpu(),
        )
