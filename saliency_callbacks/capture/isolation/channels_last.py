"""Runs a convolutional model with its channels last in memory, without touching one of its tensors.

Copies stand in for the weights of the convolutions, under the same names; activations follow the weights. On exit the
originals, whose strides never change, are bound again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.sigint import restoring

__all__ = ["channels_last", "has_channels_first"]

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@restoring
def channels_last(model: nn.Module) -> Iterator[None]:
    """Let copies with channels last stand in for the weights of the convolutions of ``model``.

    The copies take as much memory as the originals, until the context closes.

    Args:
        model: The model, quiescent.
    """
    weights = list(_weights(model))
    # By identity, so that tied weights stay tied.
    copies = {id(one.original): _copy(one.original) for one in weights}
    try:
        for one in weights:
            one.registry["weight"] = copies[id(one.original)]
        yield
    finally:
        for one in weights:
            one.registry["weight"] = one.original


def has_channels_first(model: nn.Module) -> bool:
    """Return whether a convolution of ``model`` has a weight that would be replaced."""
    return any(True for _ in _weights(model))


class _Weight(NamedTuple):
    registry: dict[str, Tensor | None]
    original: Tensor


def _weights(model: nn.Module) -> Iterator[_Weight]:
    for module in model.modules():
        if isinstance(module, _CONVOLUTIONS):
            # Past `__setattr__`, and without those weights that a parametrization computes.
            registry: dict[str, Tensor | None] = vars(module)["_parameters"]
            weight = registry.get("weight")
            if weight is not None and _is_replaceable(weight):
                yield _Weight(registry, weight)


def _is_replaceable(weight: Tensor) -> bool:
    # Packed weights of a subclass may have another number of axes.
    is_plain = type(weight) is nn.Parameter and weight.layout == torch.strided and weight.ndim in _FORMATS
    return is_plain and not weight.is_contiguous(memory_format=_FORMATS[weight.ndim])


def _copy(weight: Tensor) -> nn.Parameter:
    copy = weight.detach().clone(memory_format=_FORMATS[weight.ndim])
    return nn.Parameter(copy, requires_grad=weight.requires_grad)
