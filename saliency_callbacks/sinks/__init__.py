"""Where observations are written: one sink per logger, raw maps on disk, and a sink in memory for tests.

A sink has one method, ``write(snapshot, pictures)``. To support another logger, add a file to ``loggers`` and name
its sink in ``registry``; a third-party package declares an entry point in the group ``saliency_callbacks.sinks``
instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saliency_callbacks._lazy import attributes_of

if TYPE_CHECKING:
    from saliency_callbacks.sinks.disk.archive import read_index
    from saliency_callbacks.sinks.disk.sink import DiskSink
    from saliency_callbacks.sinks.disk.tensors import read_maps, read_probe
    from saliency_callbacks.sinks.memory import MemorySink
    from saliency_callbacks.sinks.registry import (
        CometSink,
        MLflowSink,
        TensorBoardSink,
        WandbSink,
        sink_for_logger,
    )

__all__ = [
    "CometSink",
    "DiskSink",
    "MLflowSink",
    "MemorySink",
    "TensorBoardSink",
    "WandbSink",
    "read_index",
    "read_maps",
    "read_probe",
    "sink_for_logger",
]

# The format on disk is read where there is no torch.
_HOMES = {
    "CometSink": "saliency_callbacks.sinks.registry",
    "DiskSink": "saliency_callbacks.sinks.disk.sink",
    "MLflowSink": "saliency_callbacks.sinks.registry",
    "MemorySink": "saliency_callbacks.sinks.memory",
    "TensorBoardSink": "saliency_callbacks.sinks.registry",
    "WandbSink": "saliency_callbacks.sinks.registry",
    "read_index": "saliency_callbacks.sinks.disk.archive",
    "read_maps": "saliency_callbacks.sinks.disk.tensors",
    "read_probe": "saliency_callbacks.sinks.disk.tensors",
    "sink_for_logger": "saliency_callbacks.sinks.registry",
}

__getattr__ = attributes_of(globals(), _HOMES)
