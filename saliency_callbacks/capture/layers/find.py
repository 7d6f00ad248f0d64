"""From what a person writes for ``target_layers`` to modules of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from saliency_callbacks.errors import LayerError, nearest_names

__all__ = ["find_layers"]


def find_layers(model: nn.Module, target_layers: Any) -> Mapping[str, nn.Module]:
    """Return the named target layers of ``model``.

    Args:
        model: The model.
        target_layers: A dotted module name, a module of the model, or a list of these.

    Raises:
        LayerError: If a layer is not part of the model, runs no hooks, or none is given.
    """
    several = isinstance(target_layers, Sequence) and not isinstance(target_layers, str)
    wanted: Sequence[Any] = target_layers if several else [target_layers]
    if not wanted:
        raise LayerError("target_layers is empty; expected 'auto', a module name, a module, or a list of these")
    modules = dict(model.named_modules())
    names = {id(module): name for name, module in modules.items()}
    aliases = _aliases(model)
    found: dict[str, nn.Module] = {}
    for layer in wanted:
        _check_not_auto(layer)
        if not isinstance(layer, (str, nn.Module)):
            raise LayerError(
                f"target layer {layer!r} is of type {type(layer).__name__}; expected 'auto', a module name, a module, "
                "or a list of these"
            )
        module = aliases.get(layer) if isinstance(layer, str) else layer
        name: str | None = layer if isinstance(layer, str) else None
        if module is not None:
            name = names.get(id(module))
        if name is None:
            raise LayerError(
                f"target layer {type(layer).__name__} is not a module of the explained {type(model).__name__}; give a "
                "module of this model (not of a copy), or its dotted name"
            )
        if not name or name not in modules:
            raise LayerError(
                f"{type(model).__name__} has no layer {name!r}; {nearest_names(str(name), filter(None, modules))} "
                "Use a name of `model.named_modules()`, a module, or 'auto'"
            )
        _check_runs_hooks(name, modules[name])
        found[name] = modules[name]
    return found


def _check_not_auto(layer: Any) -> None:
    if isinstance(layer, str) and layer == "auto":
        raise LayerError(
            "target layer 'auto' is given in a list; expected it on its own. Give `target_layers='auto'`, or name "
            "every layer"
        )


def _check_runs_hooks(name: str, module: nn.Module) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        raise LayerError(
            f"target layer {name!r} is TorchScript, which does not run hooks, so its output cannot be captured; "
            "expected an eager module. Explain the model before scripting it, or use only methods that explain the "
            "input"
        )


def _aliases(model: nn.Module) -> Mapping[str, nn.Module]:
    # A module that is used twice has two names; a compiled one hides its own behind `_orig_mod`.
    everywhere = dict(model.named_modules(remove_duplicate=False))
    return {
        **{name.replace("_orig_mod.", ""): module for name, module in everywhere.items()},
        **everywhere,
    }
