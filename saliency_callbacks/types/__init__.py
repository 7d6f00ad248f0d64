"""The values that travel between the layers, and the protocols of what can be plugged in.

Data moves one way: probe → evidence → attribution → score → snapshot → panel → sink. Everything here is
frozen; nothing here touches a model, a file or a logger. What holds tensors is compared by identity.
"""

from saliency_callbacks.types.attribution import Attribution, Evidence, Quantity, RawMap, Reduction
from saliency_callbacks.types.passes import Baseline, Noise, Pass, Path, PathRule, ReluRule, TensorBaseline, Until
from saliency_callbacks.types.protocols import Method, Sink
from saliency_callbacks.types.snapshot import Picture, ProbeView, Snapshot
from saliency_callbacks.types.statistics import ClassMaps, Mistakes, ProbeStatistics
from saliency_callbacks.types.tables import Cell, CellStyle, Table

__all__ = [
    "Attribution",
    "Baseline",
    "Cell",
    "CellStyle",
    "ClassMaps",
    "Evidence",
    "Method",
    "Mistakes",
    "Noise",
    "Pass",
    "Path",
    "PathRule",
    "Picture",
    "ProbeStatistics",
    "ProbeView",
    "Quantity",
    "RawMap",
    "Reduction",
    "ReluRule",
    "Sink",
    "Snapshot",
    "Table",
    "TensorBaseline",
    "Until",
]
