"""The names that a model gives to its classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["model_class_names"]

_DEFAULT_NAME = re.compile(r"LABEL_\d+")


def model_class_names(model: nn.Module) -> tuple[str, ...] | None:
    """Return the names of a model's classes, by index, as ``config.id2label`` of Hugging Face's models tells them.

    Names that the configuration makes up (``"LABEL_0"``) are none, and neither are those of another head: the last
    linear or convolutional layer must have as many outputs as there are names.

    Args:
        model: A model, or a module that has one somewhere inside.

    Returns:
        ``None`` where there are none, or several models have different ones.
    """
    found = {names for module in model.modules() if (names := _own_names(module)) is not None}
    return found.pop() if len(found) == 1 else None


def _own_names(module: nn.Module) -> tuple[str, ...] | None:
    config = getattr(module, "config", None)
    table = config.get("id2label") if isinstance(config, Mapping) else getattr(config, "id2label", None)
    if not isinstance(table, Mapping) or not table or _n_outputs(module) != len(table):
        return None
    try:
        by_index: dict[int, Any] = {int(index): name for index, name in table.items()}
    except (TypeError, ValueError):
        return None
    names = tuple(str(by_index.get(index)) for index in range(len(table)))
    is_complete = sorted(by_index) == list(range(len(table)))
    return names if is_complete and not all(map(_DEFAULT_NAME.fullmatch, names)) else None


def _n_outputs(module: nn.Module) -> int | None:
    widths = [
        getattr(each, "out_features", None) or getattr(each, "out_channels", None)
        for each in module.modules()
        if isinstance(each, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    return widths[-1] if widths else None
