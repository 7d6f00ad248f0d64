"""Runs a half-precision model in float32, without touching one of its tensors.

Float32 copies stand in for every float16 and bfloat16 tensor that the modules hold, under the same names; on exit the
originals, which were never written to, are bound again. What is float64 stays float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.sigint import restoring
from saliency_callbacks.errors import ConfigurationError

__all__ = ["full_precision", "undone", "widened", "without_autocast"]

_HALF = (torch.float16, torch.bfloat16)


@restoring
def full_precision(model: nn.Module) -> Iterator[None]:
    """Let float32 copies stand in for the half-precision parameters, buffers and plain attributes of ``model``.

    The copies take 4 bytes a number, in addition to the originals, until the context closes.

    Args:
        model: The model, quiescent.

    Raises:
        ConfigurationError: If a parameter cannot be replaced: those of TorchScript, or sharded and quantised ones.
    """
    swaps = list(_swaps(model))
    try:
        for swap in swaps:
            swap.registry[swap.name] = swap.copy
        yield
    finally:
        for swap in swaps:
            swap.registry[swap.name] = swap.original


@contextmanager
def undone(forward_context: Callable[[], AbstractContextManager[Any]], device_types: frozenset[str]) -> Iterator[None]:
    """Open ``forward_context`` without its autocast, and with no default type below float32.

    Args:
        forward_context: What a forward is usually run in.
        device_types: Where the model runs, e.g. ``cuda``.
    """
    with forward_context(), without_autocast(*device_types):
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.promote_types(default, torch.float32))
        try:
            yield
        finally:
            torch.set_default_dtype(default)


@contextmanager
def without_autocast(*device_types: str) -> Iterator[None]:
    """Compute in the precision of what is given, also where somebody explains a model inside an autocast.

    Args:
        device_types: Where it is computed, besides the CPU.
    """
    with ExitStack() as stack:
        for device_type in sorted({*device_types, "cpu"}):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


def widened(value: Any) -> Any:
    """Return inputs with every half-precision tensor in float32."""
    if isinstance(value, Tensor):
        return value.to(torch.float32) if value.dtype in _HALF else value
    if isinstance(value, Mapping):
        return {key: widened(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(widened(item) for item in value)
    return value


class _Swap(NamedTuple):
    registry: dict[str, Any]
    name: str
    original: Any
    copy: Any


def _swaps(model: nn.Module) -> Iterator[_Swap]:
    # By identity, so that tied weights stay tied, and a recurrent layer's own list of weights agrees with its weights.
    copies: dict[int, Tensor] = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            _check_script(path, module)
            continue
        attributes = vars(module)
        for registry in (attributes["_parameters"], attributes["_buffers"], attributes):
            for name, value in registry.items():
                copy = _copied(value, copies, f"{path}.{name}".strip("."))
                if copy is not value:
                    yield _Swap(registry, name, value, copy)


def _copied(value: Any, copies: dict[int, Tensor], name: str) -> Any:
    """Return what stands in for a parameter, buffer or attribute; the value itself where it may stay."""
    if isinstance(value, Tensor):
        if value.dtype not in _HALF or nn.parameter.is_lazy(value):
            return value
        if id(value) not in copies:
            copies[id(value)] = _copy(value, name)
        return copies[id(value)]
    if type(value) in (list, tuple):
        items = [_copied(item, copies, name) for item in value]
        return value if all(one is other for one, other in zip(items, value, strict=True)) else type(value)(items)
    # Where a module keeps the type that it casts its inputs to.
    return torch.float32 if isinstance(value, torch.dtype) and value in _HALF else value


def _copy(tensor: Tensor, name: str) -> Tensor:
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided:
        raise ConfigurationError(
            f"precision='32', but {name!r} is a {type(tensor).__name__} in {tensor.dtype} (sharded, quantized or "
            "sparse), which a float32 copy cannot replace. Use precision='trainer'"
        )
    wide = tensor.detach().to(torch.float32)
    return nn.Parameter(wide, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else wide


def _check_script(path: str, module: torch.jit.ScriptModule) -> None:
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        if tensor.dtype in _HALF:
            raise ConfigurationError(
                f"precision='32', but {f'{path}.{name}'.strip('.')!r} belongs to TorchScript, whose tensors "
                f"({tensor.dtype}) cannot be replaced. Use precision='trainer', or explain the module before scripting"
            )
