"""Where observations are written: one sink per logger, raw maps on disk, and a sink in memory for tests.

A sink has one method, ``write(snapshot, pictures)``. To support another logger, add a file to ``loggers`` and name
its sink in ``registry``; a third-party package declares an entry point in the group ``saliency_callbacks.sinks``
instead.
"""

from saliency_callbacks.sinks import registry
from saliency_callbacks.sinks.disk.archive import read_index, read_maps, read_probe
from saliency_callbacks.sinks.disk.sink import DiskSink
from saliency_callbacks.sinks.memory import MemorySink
from saliency_callbacks.sinks.registry import *  # noqa: F403

__all__ = ["DiskSink", "MemorySink", "read_index", "read_maps", "read_probe"]
__all__ += registry.__all__
