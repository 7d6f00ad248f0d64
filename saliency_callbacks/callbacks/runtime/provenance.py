"""Under what an observation was made: versions, precision, and which weights were explained."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import distributions

from saliency_callbacks.callbacks.runtime.host import Host

__all__ = ["circumstances", "versions"]

_PACKAGES = ("saliency-callbacks", "torch", "lightning", "pytorch-lightning")


def circumstances(host: Host, observer: object, *, at_end: bool) -> dict[str, str]:
    """Return under what ``observer`` makes an observation, for its metadata; see :meth:`Host.weights`."""
    weights = host.weights(observer, at_end=at_end)
    return {"precision": host.precision} | ({} if weights is None else {"weights": weights})


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter to a map, those that are installed."""
    installed = {distribution.name: distribution.version for distribution in distributions()}
    known = {package: installed[package] for package in _PACKAGES if package in installed}
    return {"python": platform.python_version(), **known}
