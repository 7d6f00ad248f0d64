"""Inputs of any structure: a tensor, or a tuple or dict of tensors, nested as the model takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from saliency_callbacks.config.fields import fields_of
from saliency_callbacks.errors import InputError, nearest_names

__all__ = ["mapped", "named_key", "read_structure", "shared_names", "tensors_of"]


def read_structure(inputs: Any, shape: str) -> Any:
    """Return inputs as a tensor, tuple or dict of tensors that gradients can be taken of.

    Args:
        inputs: A tensor, or a tuple, list or mapping of tensors and constants.
        shape: What the explained tensor should look like, for the message.

    Raises:
        InputError: If they are of another type.
    """
    if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        inputs = tuple(inputs)
    elif not isinstance(inputs, Tensor):
        fields = fields_of(inputs)
        inputs = inputs if fields is None else dict(fields)
    if not isinstance(inputs, (Tensor, tuple, Mapping)):
        raise InputError(
            f"inputs are of type {type(inputs).__name__}; expected a tensor {shape}, or a tuple or dict of tensors "
            "with `attribute_to` naming the one to explain"
        )
    return mapped(inputs, lambda name, tensor: _outside_inference_mode(tensor))


def shared_names(structure: Any, shared: Sequence[int | str] | None) -> frozenset[str]:
    """Return the names of what all samples share.

    Raises:
        InputError: If it is not among the inputs.
    """
    names = frozenset(str(key) for key in shared or ())
    known = {} if isinstance(structure, Tensor) else tensors_of(structure)
    for name in sorted(names):
        if not any(one == name or one.startswith(f"{name}.") for one in known):
            raise InputError(f"shared={name!r} is not a tensor among the inputs; {nearest_names(name, known)}")
    return names


def named_key(structure: tuple[Any, ...] | Mapping[Any, Any], attribute_to: int | str | None) -> int | str | None:
    """Return ``attribute_to``.

    Raises:
        InputError: If the inputs have no such entry.
    """
    entries = dict(structure) if isinstance(structure, Mapping) else dict(enumerate(structure))
    if attribute_to is not None and attribute_to not in entries:
        raise InputError(
            f"attribute_to={attribute_to!r} is not among the inputs; "
            + nearest_names(str(attribute_to), [str(key) for key in entries])
        )
    return attribute_to


def mapped(structure: Any, function: Callable[[str, Tensor], Tensor], name: str = "") -> Any:
    """Return inputs with every tensor replaced by ``function(name, tensor)``; nested keys are joined by dots."""
    if isinstance(structure, Tensor):
        return function(name, structure)
    prefix = f"{name}." if name else ""
    if isinstance(structure, tuple):
        return tuple(mapped(item, function, f"{prefix}{position}") for position, item in enumerate(structure))
    if isinstance(structure, Mapping):
        return {key: mapped(item, function, f"{prefix}{key}") for key, item in structure.items()}
    return structure


def tensors_of(structure: Any) -> dict[str, Tensor]:
    """Return every tensor of inputs by its name."""
    found: dict[str, Tensor] = {}
    mapped(structure, found.setdefault)
    return found


def _outside_inference_mode(tensor: Tensor) -> Tensor:
    return tensor.detach().clone() if tensor.is_inference() else tensor.detach()
