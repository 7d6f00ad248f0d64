"""A walk through everything that a model holds."""

from __future__ import annotations

import enum
import types
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules

from saliency_callbacks.capture.isolation.shards import local

__all__ = ["Walk"]

_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
_CONTAINERS = (list, tuple, set, frozenset, deque)
# They do not change, or what they do does not.
_FIXED = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.ModuleType,
    weakref.ReferenceType,
    enum.Enum,
    PurePath,
    np.dtype,
    np.generic,
)
# What objects of these, and of torch, hold tells of the training, not of what the model computes.
_LIGHTNING = ("lightning", "pytorch_lightning", "lightning_fabric")
_DEEPEST, _MOST_FACTS = 6, 100_000


class Walk:
    """What a model is made of, as facts that can be compared, and tensors.

    Attributes:
        facts: One after the other.
        tensors: All that were met, of sharded ones the part here.
        n_numbers: How many numbers there are in those that are neither parameters nor buffers.
        is_whole: Whether everything could be looked at.
    """

    def __init__(self, model: nn.Module) -> None:
        self.facts: list[object] = []
        self.tensors: list[Tensor] = []
        self.n_numbers = 0
        self.is_whole = True
        self._registered = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
        # By identity, and alive, so that what is made for this walk alone leaves its identity to no other.
        self._met: dict[int, Any] = {}
        self._waiting: deque[nn.Module] = deque([model])
        for name, hooks in vars(modules).items():
            if name.startswith("_global_"):
                self._look_at(hooks, 1)
        while self._waiting:
            self._look_into(self._waiting.popleft())

    def _look_into(self, module: nn.Module) -> None:
        self.facts.append(type(module))
        # Of TorchScript, nothing but weights can be seen.
        self.is_whole &= not isinstance(module, torch.jit.ScriptModule)
        # It is explained in evaluation mode, whether it is training or not.
        self._look_at({name: value for name, value in vars(module).items() if name != "training"}, 0)

    def _look_at(self, value: Any, depth: int) -> None:
        kind = type(value)
        self.facts.append(kind)
        if kind in _PLAIN:
            self.facts.append(value)
        elif isinstance(value, Tensor):
            self._look_at_tensor(value)
        elif isinstance(value, np.ndarray):
            self._look_at_array(value)
        elif isinstance(value, nn.Module):
            self._meet(value, is_module=True)
        elif isinstance(value, Mapping) or (isinstance(value, _CONTAINERS) and not isinstance(value, _FIXED)):
            self._look_at_container(value, depth)
        elif isinstance(value, partial):
            self._look_at((value.func, value.args, value.keywords), depth + 1)
        elif isinstance(value, types.MethodType):
            self.facts.append(_Itself(value.__func__))
            self._look_at(value.__self__, depth + 1)
        else:
            self._look_at_object(value, depth)

    def _look_at_tensor(self, value: Tensor) -> None:
        if nn.parameter.is_lazy(value):
            self.is_whole = False
            return
        part = local(value).detach()
        self.tensors.append(part)
        self.facts.append((part.dtype, part.shape, part.stride() if part.layout == torch.strided else None))
        self.facts.append((part.device, value.requires_grad))
        if id(value) not in self._registered:
            self.n_numbers += part.numel()

    def _look_at_array(self, value: Any) -> None:
        try:
            self.tensors.append(torch.tensor(value))
            self.facts.append(value.shape)
            self.n_numbers += value.size
        except (TypeError, ValueError):
            # Of objects, texts or dates.
            self.is_whole = False

    def _look_at_container(self, value: Any, depth: int) -> None:
        is_new = self._meet(value)
        is_mapping = isinstance(value, Mapping)
        entries: Iterable[Any] = (*value.keys(), *value.values()) if is_mapping else tuple(value)
        kinds = tuple(map(type, entries))
        self.facts.append(kinds)
        if _PLAIN.issuperset(kinds):
            self.facts.append(entries)
        elif is_new:
            self._look_at_all(entries, depth)

    def _look_at_object(self, value: Any, depth: int) -> None:
        self.facts.append(_Itself(value))
        if isinstance(value, _FIXED) or _is_of_a_framework(value) or not self._meet(value):
            return
        inside = getattr(value, "__dict__", None)
        if inside is None:
            self.is_whole = False
        else:
            self._look_at(inside, depth + 1)

    def _look_at_all(self, entries: Iterable[Any], depth: int) -> None:
        if depth >= _DEEPEST or len(self.facts) > _MOST_FACTS:
            self.is_whole = False
            return
        for entry in entries:
            self._look_at(entry, depth + 1)

    def _meet(self, value: Any, *, is_module: bool = False) -> bool:
        """Return whether something is met for the first time; of a module, it is looked into later."""
        is_new = id(value) not in self._met
        self._met[id(value)] = value
        if is_module:
            self.facts.append(_Itself(value))
            if is_new:
                self._waiting.append(value)
        return is_new


def _is_of_a_framework(value: object) -> bool:
    # A person's own Trainer is one, too.
    roots = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    return type(value).__module__.partition(".")[0] == "torch" or not roots.isdisjoint(_LIGHTNING)


class _Itself:
    """Compares as itself, and keeps it alive, so that its identity goes to no other."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
