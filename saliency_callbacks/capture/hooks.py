"""Capture of layer outputs during a forward, as tensors of the autograd graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = ["ActivationRecorder", "LayerCall", "first_tensor", "replace_first"]


class LayerCall(NamedTuple):
    """One call of a layer: its name and what it put out."""

    name: str
    output: Tensor


class ActivationRecorder:
    """Keep the output of layers while the context is open; the hooks are gone when it closes.

    A hook keeps a copy of the output and hands another one on, so that a later in-place operation
    (a residual ``out += identity``, an in-place ReLU) cannot overwrite what was kept. Every call of a
    module that runs several times is kept. Of a tuple output, the first tensor is kept.

    Where gradients are recorded when the context opens, or ``start_graph`` is set, what is handed on is part of the
    graph even if the layer runs under a ``torch.no_grad()`` of the model: a frozen backbone ends the graph, not the
    map at its end.

    Args:
        layers: Name → module. One module may stand under one name only.
        start_graph: Record the autograd graph from the first of these layers on; the caller runs the model
            under ``no_grad``, and nothing below the layers is recorded.

    Attributes:
        calls: Captured outputs, in execution order.
        under_no_grad: Layers that ran without gradients although the caller records them.
        complex_valued: Layers whose output is complex, which is not kept.
    """

    def __init__(self, layers: Mapping[str, nn.Module], *, start_graph: bool = False) -> None:
        self.layers = layers
        self.start_graph = start_graph
        self.calls: list[LayerCall] = []
        self.under_no_grad: set[str] = set()
        self.complex_valued: set[str] = set()
        self._records_graph = False
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> ActivationRecorder:
        self._records_graph = self.start_graph or torch.is_grad_enabled()
        for name, module in self.layers.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @property
    def outputs(self) -> dict[str, Tensor]:
        """Name → output of the last call, in execution order."""
        last: dict[str, Tensor] = {}
        for name, output in self.calls:
            last.pop(name, None)
            last[name] = output
        return last

    @property
    def by_layer(self) -> dict[str, list[Tensor]]:
        """Name → outputs of all calls."""
        found: dict[str, list[Tensor]] = {}
        for name, output in self.calls:
            found.setdefault(name, []).append(output)
        return found

    def _hook(self, name: str) -> Any:
        def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            found = first_tensor(output)
            self._note(name, found)
            if found is None or not found.is_floating_point():
                return None
            if self.start_graph:
                # Stays enabled for the rest of the forward, or of the model's own `no_grad`; the caller's context
                # restores it.
                torch.set_grad_enabled(True)
            # What is made under inference mode has no graph, then or later.
            with torch.inference_mode(False), torch.set_grad_enabled(self._records_graph):
                captured = found.clone()
                if not captured.requires_grad:
                    captured.requires_grad_(True)
                handed_on = captured.clone()
            self.calls.append(LayerCall(name, captured))
            return replace_first(output, found, handed_on)

        return keep

    def _note(self, name: str, found: Tensor | None) -> None:
        if self._records_graph and not self.start_graph and not torch.is_grad_enabled():
            self.under_no_grad.add(name)
        if found is not None and found.is_complex():
            self.complex_valued.add(name)


def first_tensor(output: Any) -> Tensor | None:
    """Return a layer output's tensor: itself, or the first tensor of a tuple, list or dict."""
    if isinstance(output, Tensor):
        return output
    items = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
    return next((item for item in items if isinstance(item, Tensor)), None)


def replace_first(output: Any, old: Tensor, new: Tensor) -> Any:
    """Return a layer output with ``new`` in place of ``old``, its first tensor."""
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
