"""The region of interest and the group of each sample, where functions tell them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.nested import copy_inputs
from saliency_callbacks.errors import ProbeError

__all__ = ["VOID", "groups_of", "hold_classes", "masks_of", "regions_of"]

VOID = 255
"""The class index that says of a pixel that it is of no class, by the custom of data sets for segmentation."""


def masks_of(masks: Callable[..., Any] | str | Tensor, inputs: Any) -> Any:
    """Return the masks that ``masks`` gives to ``inputs``; what they are is not checked.

    Args:
        masks: Masks, or a function ``inputs -> masks [N, *spatial]``, or its dotted import path.
        inputs: The inputs of the probe; the function is given a copy of them on the CPU.

    Raises:
        ConfigurationError: The path cannot be imported.
        ProbeError: The function returned nothing.
    """
    if isinstance(masks, Tensor):
        return masks
    function = resolve_callable("Probe(masks=...)", masks)
    assert function is not None, "only None resolves to None"
    return _returned("masks", "masks [N, *spatial]", function, function(copy_inputs(inputs)))


def hold_classes(masks: Tensor) -> bool:
    """Return whether masks say of each pixel which class it is, rather than whether it is part of a region.

    Integers do that hold more than two values of a region: 0 and 1, or the black (0) and white (255) of a picture.

    Example:
        >>> hold_classes(torch.tensor([0, 2, VOID])), hold_classes(torch.tensor([0, VOID]))
        (True, False)
    """
    if masks.is_floating_point() or masks.dtype == torch.bool:
        return False
    found = set(masks.unique().tolist())
    return not (found <= {0, 1} or found <= {0, VOID})


def regions_of(masks: Tensor) -> Tensor:
    """Return regions, bool or shares, of masks: what is of a class other than the background 0 where they hold classes.

    Args:
        masks: Of a class where they hold classes; else bool, shares in [0, 1], or integers that are not 0.
    """
    if masks.is_floating_point():
        return masks
    return (masks > 0) & (masks != VOID) if hold_classes(masks) else masks != 0


def groups_of(groups: Callable[..., Any] | str | Sequence[object], inputs: Any, labels: Tensor | None) -> Any:
    """Return the name of the group of each sample; what the names are is not checked.

    Args:
        groups: The names, or a function ``inputs, labels -> names``, or its dotted import path.
        inputs: The inputs of the probe; the function is given a copy of them on the CPU.
        labels: Class of each sample ``[N]``, or ``None``; the same.

    Raises:
        ConfigurationError: The path cannot be imported.
        ProbeError: The function returned nothing.
    """
    if not callable(groups) and not isinstance(groups, str):
        return groups
    function = resolve_callable("Probe(groups=...)", groups)
    assert function is not None, "only None resolves to None"
    found = function(copy_inputs(inputs), copy_inputs(labels))
    return _returned("groups", "a list of N names", function, found)


def _returned(argument: str, expected: str, function: Callable[..., Any], result: Any) -> Any:
    if result is None:
        name = getattr(function, "__qualname__", repr(function))
        raise ProbeError(f"the function {name}, given as Probe({argument}=…), returned None; expected {expected}")
    return result
