"""Capture of layer outputs during a forward, as tensors of the autograd graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = ["ActivationRecorder", "first_tensor"]


class ActivationRecorder:
    """Keep the output of layers while the context is open; the hooks are gone when it closes.

    A hook keeps a copy of the output and hands another one on, so that a later in-place operation
    (a residual ``out += identity``, an in-place ReLU) cannot overwrite what was kept. A module that runs
    several times keeps its last call. Of a tuple output, the first tensor is kept.

    Args:
        layers: Name → module. One module may stand under one name only.
        start_graph: Record the autograd graph from the first of these layers on; the caller runs the model
            under ``no_grad``, and nothing below the layers is recorded.

    Attributes:
        outputs: Name → captured output, in execution order.
    """

    def __init__(self, layers: Mapping[str, nn.Module], *, start_graph: bool = False) -> None:
        self.layers = layers
        self.start_graph = start_graph
        self.outputs: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> ActivationRecorder:
        for name, module in self.layers.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, name: str) -> Any:
        def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            found = first_tensor(output)
            if found is None or not found.is_floating_point():
                return None
            if self.start_graph:
                # Stays enabled for the rest of the forward; the caller's context restores it.
                torch.set_grad_enabled(True)
            captured = found.clone()
            if not captured.requires_grad:
                captured.requires_grad_(True)
            self.outputs.pop(name, None)
            self.outputs[name] = captured
            return _replace_first(output, found, captured.clone())

        return keep


def first_tensor(output: Any) -> Tensor | None:
    """Return a layer output's tensor: itself, or the first tensor of a tuple, list or dict."""
    if isinstance(output, Tensor):
        return output
    items = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
    return next((item for item in items if isinstance(item, Tensor)), None)


def _replace_first(output: Any, old: Tensor, new: Tensor) -> Any:
    if isinstance(output, Tensor):
        return new
    if isinstance(output, Mapping):
        replaced = copy.copy(output)
        for key, item in output.items():
            if item is old:
                replaced[key] = new  # type: ignore[index]
        return replaced
    items = [new if item is old else item for item in output]
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
