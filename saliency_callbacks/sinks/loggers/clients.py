"""The packages of loggers, imported when a logger is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from saliency_callbacks.errors import ConfigurationError

__all__ = ["logger_package"]


def logger_package(name: str, *, logger: object, extra: str) -> Any:
    """Import the package that a logger writes with, and return it.

    Args:
        name: The package.
        logger: The logger that needs it; the error names its class and nothing else.
        extra: The extra of this package that installs it.

    Raises:
        ConfigurationError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"the logger {type(logger).__name__} needs the package {name}, which cannot be imported ({error}); "
            f"install it with: pip install 'saliency-callbacks[{extra}]'"
        ) from error
