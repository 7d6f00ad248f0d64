"""What Hydra makes of lists, mappings and dataclasses in a configuration, and back."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Return a container of OmegaConf as list, dictionary or the object that it was; anything else as it is.

    Hydra hands lists and mappings over as containers of its own, and turns dataclasses in them (a method with settings)
    into containers, too. They compare, pickle and print like nothing else, so they go no further than a constructor.
    """
    if type(value).__module__.partition(".")[0] != "omegaconf":
        return value
    return import_module("omegaconf").OmegaConf.to_object(value)
