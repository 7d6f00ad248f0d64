"""Class activation maps: each weighs a layer's activations ``A^k`` by the gradients ``g^k = ∂f_c/∂A^k`` of a logit.

Every map function takes activations and gradients ``[N, K, *spatial]`` and returns a map ``[N, *spatial]``, at least 0,
at the layer's own resolution. Sums over space are taken in float32 or better; the result has the activations' dtype.
All raise ``ConfigurationError`` if the two shapes differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.maps import resize

__all__ = ["fuse", "grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam"]


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM: ReLU(Σ_k α_k A^k) with α_k the mean over space of g^k.

    Reference:
        Selvaraju et al. 2017, arXiv 1610.02391, Eq. 1 and 2.

    Example:
        >>> activations = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]])
        >>> gradients = torch.tensor([[[1.0, 3.0], [-1.0, -1.0]]])
        >>> grad_cam(activations, gradients)
        tensor([[0., 4.]])
    """
    maps, slopes = _aligned(activations, gradients)
    weights = slopes.mean(dim=_space(slopes), keepdim=True)
    return _rectified_sum(weights * maps, activations.dtype)


def grad_cam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++: ReLU(Σ_k w_k A^k) with w_k = Σ_ij α^k_ij ReLU(g^k_ij).

    α^k_ij = g² / (2g² + Σ_ab A^k_ab g³), with every g at ij, and 0 where g or the denominator is 0. The score is read
    as exp(logit), as in the paper; the factor exp(logit) that this gives all weights of a sample is left out.

    Reference:
        Chattopadhay et al. 2018, arXiv 1710.11063, Eq. 19.
    """
    maps, slopes = _aligned(activations, gradients)
    # Divided by g², because powers of small gradients underflow.
    product = maps.sum(dim=_space(maps), keepdim=True) * slopes
    denominator = 2 + product
    vanishing = denominator.abs() <= torch.finfo(product.dtype).eps * (2 + product.abs())
    alpha = denominator.reciprocal().masked_fill(vanishing, 0)  # any α will do where g is 0: ReLU(g) removes it
    weights = (alpha * slopes.relu()).sum(dim=_space(slopes), keepdim=True)
    return _rectified_sum(weights * maps, activations.dtype)


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM: ReLU(Σ_k g^k ⊙ A^k), without averaging gradients over space.

    Reference:
        Draelos and Carin 2020, arXiv 2011.08891.
    """
    maps, slopes = _aligned(activations, gradients)
    return _rectified_sum(slopes * maps, activations.dtype)


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM: ReLU(Σ_k ReLU(g^k) ⊙ A^k), meaningful at shallow layers too.

    Reference:
        Jiang et al. 2021, doi 10.1109/TIP.2021.3089943.
    """
    maps, slopes = _aligned(activations, gradients)
    return _rectified_sum(slopes.relu() * maps, activations.dtype)


def xgrad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """XGrad-CAM: ReLU(Σ_k w_k A^k) with w_k = Σ_ij g^k_ij A^k_ij / Σ_ij A^k_ij.

    A channel whose activations sum to 0, or cancel to within rounding, has weight 0.

    Reference:
        Fu et al. 2020, arXiv 2008.02312.
    """
    maps, slopes = _aligned(activations, gradients)
    total = maps.sum(dim=_space(maps), keepdim=True)
    magnitude = maps.abs().sum(dim=_space(maps), keepdim=True)
    vanishing = total.abs() <= torch.finfo(total.dtype).eps * magnitude
    weights = ((slopes * maps).sum(dim=_space(maps), keepdim=True) / total).masked_fill(vanishing, 0)
    return _rectified_sum(weights * maps, activations.dtype)


def fuse(maps: Sequence[Tensor]) -> Tensor:
    """Average the maps of several layers, each scaled by its maximum, at the resolution of the finest layer.

    Args:
        maps: One map of each layer, ``[N, *spatial_i]``, at least 0.

    Returns:
        ``[N, *spatial]`` in [0, 1], with the spatial size of the map that has most elements. A map that is all zero
        stays zero and counts in the average.

    Raises:
        ConfigurationError: If ``maps`` is empty or the numbers of spatial dimensions differ.

    Example:
        >>> fuse([torch.tensor([[2.0, 4.0]]), torch.tensor([[3.0, 3.0]])])
        tensor([[0.7500, 1.0000]])
    """
    if not maps:
        raise ConfigurationError("no map to fuse was given; give the maps of at least one layer")
    finest = max((tuple(layer.shape[1:]) for layer in maps), key=math.prod)
    resized = [resize(_scaled_by_maximum(layer), finest) for layer in maps]
    return torch.stack(resized).mean(dim=0)


def _scaled_by_maximum(maps: Tensor) -> Tensor:
    flat = maps.flatten(1)
    peak = flat.amax(dim=1, keepdim=True)
    return (flat / peak.masked_fill(peak == 0, 1)).reshape(maps.shape)


def _aligned(activations: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in float32 or better: a half-precision sum over space overflows."""
    if activations.shape != gradients.shape:
        raise ConfigurationError(
            f"activations {tuple(activations.shape)} and gradients {tuple(gradients.shape)} differ in shape; "
            "give the gradient of the score with respect to the same activations, both [N, K, *spatial]"
        )
    dtype = torch.promote_types(torch.promote_types(activations.dtype, gradients.dtype), torch.float32)
    return activations.to(dtype), gradients.to(dtype)


def _space(values: Tensor) -> tuple[int, ...]:
    return tuple(range(2, values.dim()))


def _rectified_sum(weighted: Tensor, dtype: torch.dtype) -> Tensor:
    return weighted.sum(dim=1).relu().to(dtype)
