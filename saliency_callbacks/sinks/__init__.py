"""Where observations are written: one sink per logger, raw maps on disk, and a sink in memory for tests.

A sink has one method, ``write(snapshot, pictures)``. To support another logger, add a file to ``loggers`` and name
its sink in ``registry``; a third-party package declares an entry point in the group ``saliency_callbacks.sinks``
instead.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saliency_callbacks.sinks import registry
    from saliency_callbacks.sinks.disk.archive import read_index
    from saliency_callbacks.sinks.disk.sink import DiskSink
    from saliency_callbacks.sinks.disk.tensors import read_maps, read_outlines, read_probe
    from saliency_callbacks.sinks.memory import MemorySink
    from saliency_callbacks.sinks.registry import *  # noqa: F403

    __all__ = ["DiskSink", "MemorySink", "read_index", "read_maps", "read_outlines", "read_probe"]
    __all__ += registry.__all__

# The format on disk is read where there is no torch. What the registry names is exported as well.
_HOMES = {
    "DiskSink": "saliency_callbacks.sinks.disk.sink",
    "MemorySink": "saliency_callbacks.sinks.memory",
    "read_index": "saliency_callbacks.sinks.disk.archive",
    "read_maps": "saliency_callbacks.sinks.disk.tensors",
    "read_outlines": "saliency_callbacks.sinks.disk.tensors",
    "read_probe": "saliency_callbacks.sinks.disk.tensors",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "__all__" or not name.startswith("__"):
        registry = import_module("saliency_callbacks.sinks.registry")
        if name == "__all__":
            return sorted([*_HOMES, *registry.__all__])
        if name in registry.__all__:
            return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
