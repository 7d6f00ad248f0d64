"""Where observations are written: one adapter a logger, raw maps on disk, and a test double.

A sink has one method, ``write(snapshot, pictures)``. To support another logger, add a file here and one
entry to the table in ``dispatch``; a third-party package declares an entry point in the group
``saliency_callbacks.sinks`` instead.
"""

from saliency_callbacks.sinks.archive import read_index, read_maps, read_probe
from saliency_callbacks.sinks.comet import CometSink
from saliency_callbacks.sinks.disk import DiskSink
from saliency_callbacks.sinks.dispatch import sink_for_logger
from saliency_callbacks.sinks.memory import MemorySink
from saliency_callbacks.sinks.mlflow import MLflowSink
from saliency_callbacks.sinks.tensorboard import TensorBoardSink
from saliency_callbacks.sinks.wandb import WandbSink

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
