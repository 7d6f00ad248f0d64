"""Which versions made an observation."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import distributions

__all__ = ["versions"]

_PACKAGES = ("saliency-callbacks", "torch", "lightning", "pytorch-lightning")


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter to a map, those that are installed."""
    installed = {distribution.name: distribution.version for distribution in distributions()}
    known = {package: installed[package] for package in _PACKAGES if package in installed}
    return {"python": platform.python_version(), **known}
