"""The layers of a model that hold weights, in the order in which a forward runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

__all__ = ["WeightLayer", "find_weight_layers", "has_running_statistics"]

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
