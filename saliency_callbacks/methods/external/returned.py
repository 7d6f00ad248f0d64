"""What a function returned, read as maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ExternalMethodError
from saliency_callbacks.types import ModelMethod

__all__ = ["read_maps"]


def read_maps(method: ModelMethod, returned: Any, inputs: Tensor) -> Tensor:
    """Return maps as ``[n, C, *spatial]`` or ``[n, 1, h, w]``, where the inputs are and at least in float32.

    Args:
        method: The method that returned them.
        returned: What it returned.
        inputs: What it was given, ``[n, C, *spatial]``.

    Raises:
        ExternalMethodError: If they are of another kind or shape, or not finite.
    """
    maps = _tensor(method, returned, inputs)
    _check_shape(method, maps, inputs)
    if not bool(maps.isfinite().all()):
        rows = (~maps.flatten(1).isfinite().all(dim=1)).nonzero().flatten()
        raise ExternalMethodError(
            f"method {method.name!r} returned NaN or infinity in {len(rows)} of {len(maps)} maps; expected finite "
            "values. Look for a division by zero, e.g. where a map is scaled by its maximum, or an overflow"
        )
    if not bool(maps.abs().flatten(1).sum(dim=1).isfinite().all()):
        raise ExternalMethodError(
            f"method {method.name!r} returned values up to {float(maps.abs().max()):.1g}, whose sum over a map is "
            "infinite; expected values that can be added up. Scale the maps, or look for a division by nearly zero"
        )
    if maps.ndim < inputs.ndim:
        maps = maps.unsqueeze(1)
    return maps if method.signed else maps.abs()


def _tensor(method: ModelMethod, returned: Any, inputs: Tensor) -> Tensor:
    if isinstance(returned, np.ndarray) and returned.dtype.kind in "biuf":
        # A copy: of a read-only array, or one that the library writes into again, a tensor must not share the memory.
        returned = torch.from_numpy(np.array(returned, dtype=returned.dtype.newbyteorder("="), copy=True))
    if not isinstance(returned, Tensor):
        raise _no_map(method, describe(returned), inputs, "Take the tensor out of what it is in, or convert it")
    problem = _unusual(returned)
    if problem is not None:
        raise _no_map(method, f"a {problem} tensor", inputs, "Convert it")
    return returned.detach().to(inputs.device, torch.promote_types(inputs.dtype, torch.float32), copy=True)


def _unusual(tensor: Tensor) -> str | None:
    """Return what keeps a tensor from being read as numbers, each at its place."""
    kinds = {
        "complex": tensor.is_complex(),
        "nested": tensor.is_nested,
        "quantized": tensor.is_quantized,
        "meta": tensor.is_meta,
        str(tensor.layout).removeprefix("torch."): tensor.layout != torch.strided,
    }
    return next((kind for kind, is_so in kinds.items() if is_so), None)


def _no_map(method: ModelMethod, given: str, inputs: Tensor, advice: str) -> ExternalMethodError:
    return ExternalMethodError(
        f"method {method.name!r} returned {given}; expected {_expected(inputs)}, a real tensor or NumPy array. {advice}"
    )


def _check_shape(method: ModelMethod, maps: Tensor, inputs: Tensor) -> None:
    n_samples, _, *spatial = inputs.shape
    is_map = maps.shape in {(n_samples, *spatial), tuple(inputs.shape)}
    is_at_layer = maps.ndim == inputs.ndim and maps.shape[:2] == (n_samples, 1) and maps.numel() > 0
    if is_map or is_at_layer:
        return
    problem = f"method {method.name!r} returned maps {list(maps.shape)} for {n_samples} samples"
    if maps.ndim and maps.shape[0] != n_samples:
        raise ExternalMethodError(
            f"{problem}; expected one map for each, {_expected(inputs)}. Return the maps in the order of the inputs; "
            "a function that explains a single sample is given one at a time with rows='one'"
        )
    raise ExternalMethodError(
        f"{problem}; expected {_expected(inputs)}. Move or reduce the other axes, e.g. `.sum(1, keepdim=True)` for "
        "the channels of a layer"
    )


def _expected(inputs: Tensor) -> str:
    n_samples, n_channels, *spatial = inputs.shape
    at_layer = ", ".join("dhw"[-len(spatial) :])
    return f"{[n_samples, n_channels, *spatial]}, {[n_samples, *spatial]} or [{n_samples}, 1, {at_layer}]"
