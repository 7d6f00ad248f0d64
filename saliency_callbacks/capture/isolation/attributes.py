"""Plain attributes of modules, as a forward sets them: caches, counters, metric states."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.tensor_copies import TensorContents, cut_off, leaves

__all__ = ["unchanged_attributes"]

# Parameters, buffers, submodules, hooks and the mode: they have their own care, or are not the forward's to set.
_OWN_CARE = frozenset(vars(nn.Module()))
_CONTAINERS = (list, dict, set, OrderedDict, defaultdict, deque)
# Larger tensors are restored where they were rebound, but not where they were written into.
_LARGEST_COPY = 1_000_000


@contextmanager
def unchanged_attributes(model: nn.Module) -> Iterator[None]:
    """Restore every plain attribute of every module: rebound, added, removed, or changed in its content.

    Objects are compared by identity and never copied, but for lists, dicts, sets and deques (their entries, one level
    deep) and for small tensors. Attributes of TorchScript modules are not seen.

    Args:
        model: The model that runs inside.
    """
    saved = [_Attributes(module) for module in model.modules() if _has_plain_attributes(module)]
    contents = TensorContents(tensor for one in saved for tensor in one.small_tensors())
    try:
        yield
    finally:
        for one in saved:
            one.restore()
        contents.restore()


class _Attributes:
    """The attributes of one module, read and written past any ``__setattr__`` of its own."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.values = {name: value for name, value in vars(module).items() if name not in _OWN_CARE}
        # Also those that are too large for a copy.
        self.leaves = leaves(value for value in self.values.values() if isinstance(value, Tensor))
        self.entries = {name: value.copy() for name, value in self.values.items() if type(value) in _CONTAINERS}

    def small_tensors(self) -> Iterator[Tensor]:
        for value in self.values.values():
            if isinstance(value, Tensor) and not nn.parameter.is_lazy(value) and value.numel() <= _LARGEST_COPY:
                yield value

    def restore(self) -> None:
        cut_off(self.leaves)
        self._restore_bindings()
        for name, entries in self.entries.items():
            _restore_entries(self.values[name], entries)

    def _restore_bindings(self) -> None:
        attributes = vars(self.module)
        for name in set(attributes) - set(self.values) - _OWN_CARE:
            del attributes[name]
        for name, value in self.values.items():
            # What has become a parameter or a submodule is no longer ours, and would be hidden by an attribute.
            is_registered = name in attributes["_parameters"] or name in attributes["_modules"]
            if not is_registered and (name not in attributes or attributes[name] is not value):
                attributes[name] = value


def _has_plain_attributes(module: nn.Module) -> bool:
    if isinstance(module, torch.jit.ScriptModule):
        return False
    # A lazy module becomes another one in its first forward, and stays it.
    return not (isinstance(module, nn.modules.lazy.LazyModuleMixin) and _is_uninitialized(module))


def _is_uninitialized(module: nn.Module) -> bool:
    registered = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return any(nn.parameter.is_lazy(tensor) for tensor in registered)


def _restore_entries(container: Any, entries: Any) -> None:
    now, before = _flat(container), _flat(entries)
    if len(now) == len(before) and all(one is other for one, other in zip(now, before, strict=True)):
        return
    container.clear()
    if isinstance(container, (dict, set)):
        container.update(entries)
    else:
        container.extend(entries)


def _flat(container: Any) -> list[Any]:
    return [*container.keys(), *container.values()] if isinstance(container, dict) else list(container)
