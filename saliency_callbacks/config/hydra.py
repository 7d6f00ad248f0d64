"""What Hydra makes of lists, mappings and dataclasses in a configuration, and back."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from saliency_callbacks.errors import ConfigurationError

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Return a container of OmegaConf as list, dictionary or the object that it was; anything else as it is.

    Hydra hands lists and mappings over as containers of its own, and turns dataclasses in them (a method with settings)
    into containers, too. They compare, pickle and print like nothing else, so they go no further than a constructor.

    Raises:
        ConfigurationError: If an object cannot be made again from the fields of its container.
    """
    if type(value).__module__.partition(".")[0] != "omegaconf":
        return value
    omegaconf = import_module("omegaconf")
    try:
        return omegaconf.OmegaConf.to_object(value)
    except omegaconf.errors.OmegaConfBaseException as error:
        problem = str(error).partition("\n")[0]
        raise ConfigurationError(
            f"Hydra took an object of the configuration apart, and OmegaConf cannot make it again ({problem}); "
            "expected a dataclass that takes its own fields. Write `_convert_: object` beside the callback's `_target_`"
        ) from error
