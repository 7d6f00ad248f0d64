"""The layers of a model that hold weights, in the order in which a forward runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

__all__ = ["KnownLayers", "WeightLayer", "find_weight_layers", "has_running_statistics"]

_PARAMETRIZATIONS = "parametrizations"


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """What is randomized as one.

    Args:
        name: Dotted name of the first module; the model's class where the weights are the model's own.
        modules: Dotted name → module: the one that runs, and those below it that hold weights but never run themselves
            (the projection inside an attention layer, the parametrizations of a weight).
    """

    name: str
    modules: dict[str, nn.Module]


def find_weight_layers(model: nn.Module, run: Callable[[], Any]) -> tuple[WeightLayer, ...]:
    """Find the layers that hold weights, in execution order: registration order tells nothing of depth.

    One that runs several times stands where it runs last. Weights of modules that do not run belong to the closest
    module above them that does, as that one uses them, if any.

    Args:
        model: The model.
        run: Runs its forward once.
    """
    order = _execution_order(model, run)
    owned: dict[str, dict[str, nn.Module]] = {}
    for name, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)) or has_running_statistics(module):
            owned.setdefault(_owner(name, order), {})[name] = module
    return tuple(
        WeightLayer(name or type(model).__name__, owned[name]) for name in sorted(owned, key=order.__getitem__)
    )


class KnownLayers:
    """Layers that were found once, for as long as the model has the same modules; by name, so that none is kept alive.

    Of a model that runs other layers another time the order may be another one: for what is drawn from all layers at
    once, it makes no difference.

    Example:
        >>> model, known = nn.Sequential(nn.Linear(2, 2)), KnownLayers()
        >>> found = known.of(model, lambda: find_weight_layers(model, lambda: model(torch.ones(1, 2))))
        >>> [layer.name for layer in known.of(model, tuple)]
        ['0']
    """

    def __init__(self) -> None:
        self._modules: tuple[tuple[str, int], ...] | None = None
        self._names: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def of(self, model: nn.Module, find: Callable[[], tuple[WeightLayer, ...]]) -> tuple[WeightLayer, ...]:
        """Return the layers of a model, which ``find`` is asked for where they are not known.

        Args:
            model: The model.
            find: Finds its layers.
        """
        named = dict(model.named_modules())
        modules = tuple((name, id(module)) for name, module in named.items())
        if self._modules != modules:
            found = find()
            self._modules, self._names = modules, tuple((layer.name, tuple(layer.modules)) for layer in found)
            return found
        return tuple(WeightLayer(name, {one: named[one] for one in inside}) for name, inside in self._names)


def has_running_statistics(module: nn.Module) -> bool:
    """Return whether a normalization has learned statistics, with or without parameters."""
    return getattr(module, "running_mean", None) is not None


def _owner(name: str, order: dict[str, int]) -> str:
    """Return the name of the module itself, or of the closest one above it that runs."""
    # A parametrization runs whenever its weight is read, but is part of the module that has the weight.
    name = f".{name}".split(f".{_PARAMETRIZATIONS}.", maxsplit=1)[0].removeprefix(".")
    while name not in order:
        name = name.rpartition(".")[0]
    return name


def _execution_order(model: nn.Module, run: Callable[[], Any]) -> dict[str, int]:
    """Return at which call of all each module ran last, by name."""
    calls: list[str] = []
    handles = [
        module.register_forward_pre_hook(partial(_note, calls, name))
        for name, module in model.named_modules()
        # TorchScript runs no hooks; its weights belong to the module around it.
        if not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    # The model is there even where it is run in another way than by calling it.
    return {"": -1, **{name: position for position, name in enumerate(calls)}}


def _note(calls: list[str], name: str, module: nn.Module, args: Any) -> None:
    calls.append(name)
