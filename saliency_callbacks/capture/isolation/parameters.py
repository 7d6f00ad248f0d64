"""Keeps the parameters and the structure of a model from code that nobody here wrote, and tells what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.sigint import restoring
from saliency_callbacks.capture.isolation.tensor_copies import TensorContents

__all__ = ["Changes", "unchanged_parameters"]


@dataclass
class Changes:
    """What was changed inside the context, and put back.

    Args:
        names: Dotted names of parameters and modules; filled when the context closes.
    """

    names: list[str] = field(default_factory=list)


@restoring
def unchanged_parameters(model: nn.Module) -> Iterator[Changes]:
    """Put back what is changed of the parameters, their ``.grad``, and the modules of ``model``, and tell of it.

    Others stand in for the parameters, with the same memory: so a ``.backward()`` inside reaches neither ``.grad`` of
    the originals nor the hooks that an optimizer or a distributed strategy has on them. What is written into that
    memory is found by comparing it with a copy. Parameters of kinds of their own, such as sharded ones, stay in place.

    Args:
        model: The model that runs inside, quiescent.
    """
    changes = Changes()
    modules = [_Module(name, module) for name, module in model.named_modules()]
    parameters = {id(one): one for module in modules for one in module.parameters.values()}
    gradients = [(one, one.grad) for one in parameters.values()]
    contents = TensorContents((*parameters.values(), *(grad for _, grad in gradients if grad is not None)))
    stand_ins = {key: _StandIn.of(one) for key, one in parameters.items() if _is_plain(one)}
    try:
        for module in modules:
            module.bind(stand_ins)
        yield changes
    finally:
        found = dict.fromkeys(name for module in modules for name in module.restored(stand_ins))
        for parameter, gradient in gradients:
            if parameter.grad is not gradient:
                parameter.grad = gradient
        written = {id(tensor) for tensor in contents.restore()}
        for module in modules:
            found |= dict.fromkeys(module.names_of(written))
        changes.names.extend(found)


@dataclass(frozen=True, eq=False)
class _StandIn:
    """What takes the place of a parameter, and where its numbers lay."""

    parameter: nn.Parameter
    requires_grad: bool
    address: int

    @classmethod
    def of(cls, original: Tensor) -> _StandIn:
        parameter = nn.Parameter(original.detach(), requires_grad=original.requires_grad)
        # Marks that libraries leave on a parameter.
        vars(parameter).update(vars(original))
        return cls(parameter, original.requires_grad, parameter.data_ptr())

    @property
    def is_unchanged(self) -> bool:
        """Whether it still has the numbers of the original, and the same role."""
        is_there = self.parameter.data_ptr() == self.address
        return is_there and self.parameter.requires_grad == self.requires_grad


class _Module:
    """What one module was made of."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.kind = type(module)
        self.is_script = isinstance(module, torch.jit.ScriptModule)
        self.parameters = dict(module.named_parameters(recurse=False, remove_duplicate=False))
        # Those of TorchScript cannot be replaced.
        held = {} if self.is_script else vars(module)
        self.registry: dict[str, Tensor | None] = dict(held.get("_parameters", {}))
        self.children: dict[str, nn.Module | None] = dict(held.get("_modules", {}))
        # A recurrent layer computes with a list of its own.
        self.flat: list[Any] | None = vars(module).get("_flat_weights") if isinstance(module, nn.RNNBase) else None

    def bind(self, stand_ins: dict[int, _StandIn]) -> None:
        """Put the stand-ins in place."""
        if self.is_script:
            return
        for name, one in self.registry.items():
            if id(one) in stand_ins:
                vars(self.module)["_parameters"][name] = stand_ins[id(one)].parameter
        if self.flat is not None:
            bound = [stand_ins[id(one)].parameter if id(one) in stand_ins else one for one in self.flat]
            vars(self.module)["_flat_weights"] = bound

    def restored(self, stand_ins: dict[int, _StandIn]) -> Iterator[str]:
        """Put back everything, and yield the names of what had changed beside the numbers."""
        if self.is_script:
            return
        parameters, modules = vars(self.module)["_parameters"], vars(self.module)["_modules"]
        now, children = dict(parameters), dict(modules)
        if type(self.module) is not self.kind:
            self.module.__class__ = self.kind
            yield self.name
        for name, original in self.registry.items():
            stand_in = stand_ins.get(id(original))
            is_bound = now.get(name) is (original if stand_in is None else stand_in.parameter)
            if not is_bound or not (stand_in is None or stand_in.is_unchanged):
                yield self._named(name)
        yield from (self._named(name) for name in now if name not in self.registry)
        names = {*children, *self.children}
        yield from (self._named(name) for name in names if children.get(name) is not self.children.get(name))
        for registry, kept in ((parameters, self.registry), (modules, self.children)):
            registry.clear()
            registry.update(kept)
        if self.flat is not None:
            vars(self.module)["_flat_weights"] = self.flat

    def names_of(self, written: set[int]) -> Iterator[str]:
        """Yield the names of its parameters among those with other numbers."""
        yield from (self._named(name) for name, one in self.parameters.items() if id(one) in written)

    def _named(self, name: str) -> str:
        return f"{self.name}.{name}".strip(".")


def _is_plain(parameter: Tensor) -> bool:
    return type(parameter) is nn.Parameter and not nn.parameter.is_lazy(parameter) and not parameter.is_inference()
