"""Where observations are written: one sink per logger, raw maps on disk, and a sink in memory for tests.

A sink has one method, ``write(snapshot, pictures)``. To support another logger, add a file to ``loggers`` and one line
to the table in ``registry``; a third-party package declares an entry point in the group ``saliency_callbacks.sinks``
instead.
"""

from saliency_callbacks.sinks.disk.archive import read_index, read_maps, read_probe
from saliency_callbacks.sinks.disk.sink import DiskSink
from saliency_callbacks.sinks.loggers.comet import CometSink
from saliency_callbacks.sinks.loggers.mlflow import MLflowSink
from saliency_callbacks.sinks.loggers.tensorboard import TensorBoardSink
from saliency_callbacks.sinks.loggers.wandb import WandbSink
from saliency_callbacks.sinks.memory import MemorySink
from saliency_callbacks.sinks.registry import sink_for_logger

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
