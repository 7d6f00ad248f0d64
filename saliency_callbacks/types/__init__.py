"""The values that travel between the layers, and the protocols of what can be plugged in.

Data moves one way: probe → evidence → attribution → score → snapshot → panel → sink. Everything here is
frozen; nothing here touches a model, a file or a logger. What holds tensors is compared by identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saliency_callbacks._lazy import attributes_of
from saliency_callbacks.types.tables import Cell, CellStyle, Table

if TYPE_CHECKING:
    from saliency_callbacks.types.attention import AttentionEvidence
    from saliency_callbacks.types.attribution import Attribution, Evidence, Quantity, RawMap, Reduction
    from saliency_callbacks.types.outlines import Outlines
    from saliency_callbacks.types.passes import Baseline, Noise, Pass, Path, PathRule, ReluRule, TensorBaseline, Until
    from saliency_callbacks.types.protocols import AnyMethod, Method, ModelMethod, PreparingSink, Sink, TargetLayers
    from saliency_callbacks.types.snapshot import Picture, ProbeView, Snapshot
    from saliency_callbacks.types.statistics import ClassMaps, Mistakes, ProbeStatistics

__all__ = [
    "AnyMethod",
    "AttentionEvidence",
    "Attribution",
    "Baseline",
    "Cell",
    "CellStyle",
    "ClassMaps",
    "Evidence",
    "Method",
    "Mistakes",
    "ModelMethod",
    "Noise",
    "Outlines",
    "Pass",
    "Path",
    "PathRule",
    "Picture",
    "PreparingSink",
    "ProbeStatistics",
    "ProbeView",
    "Quantity",
    "RawMap",
    "Reduction",
    "ReluRule",
    "Sink",
    "Snapshot",
    "Table",
    "TargetLayers",
    "TensorBaseline",
    "Until",
]

# A table is read where there is no torch.
_HOMES = {
    "AttentionEvidence": "saliency_callbacks.types.attention",
    "AnyMethod": "saliency_callbacks.types.protocols",
    "Attribution": "saliency_callbacks.types.attribution",
    "Baseline": "saliency_callbacks.types.passes",
    "ClassMaps": "saliency_callbacks.types.statistics",
    "Evidence": "saliency_callbacks.types.attribution",
    "Method": "saliency_callbacks.types.protocols",
    "Mistakes": "saliency_callbacks.types.statistics",
    "ModelMethod": "saliency_callbacks.types.protocols",
    "Noise": "saliency_callbacks.types.passes",
    "Outlines": "saliency_callbacks.types.outlines",
    "Pass": "saliency_callbacks.types.passes",
    "Path": "saliency_callbacks.types.passes",
    "PathRule": "saliency_callbacks.types.passes",
    "Picture": "saliency_callbacks.types.snapshot",
    "PreparingSink": "saliency_callbacks.types.protocols",
    "ProbeStatistics": "saliency_callbacks.types.statistics",
    "ProbeView": "saliency_callbacks.types.snapshot",
    "Quantity": "saliency_callbacks.types.attribution",
    "RawMap": "saliency_callbacks.types.attribution",
    "Reduction": "saliency_callbacks.types.attribution",
    "ReluRule": "saliency_callbacks.types.passes",
    "Sink": "saliency_callbacks.types.protocols",
    "Snapshot": "saliency_callbacks.types.snapshot",
    "TargetLayers": "saliency_callbacks.types.protocols",
    "TensorBaseline": "saliency_callbacks.types.passes",
    "Until": "saliency_callbacks.types.passes",
}

__getattr__ = attributes_of(globals(), _HOMES)
