"""Which outputs of a forward are maps, and how each is read: only what lies on a grid that the model is known to have."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from saliency_callbacks.capture.hooks import LayerCall
from saliency_callbacks.capture.layers.dataflow import node_of
from saliency_callbacks.capture.layers.layout import (
    SpatialLayout,
    find_layout,
    has_channels_first,
    has_own_layout,
    is_strided,
)
from saliency_callbacks.capture.layers.trace import Trace

__all__ = ["call_layouts", "known_grids"]

Spatial = tuple[int, ...]


def known_grids(trace: Trace) -> list[Spatial]:
    """Return the sizes of the grids that convolutions, pooling and their like certainly have, in execution order.

    Their type says where space is. That it is the input's own follows from how it came about: through layers of space
    alone, or, after a sequence was laid out as a map again, at a size that is known or reached from a known one. A
    convolution over attention weights has neither.
    """
    whole = tuple(trace.rows.shape[2:])
    known: list[Spatial] = []
    for call in trace.calls:
        if not has_channels_first(trace.modules[call.name]) or not trace.depends(call):
            continue
        shape = call.output.shape
        if len(shape) != len(whole) + 2 or shape[0] != len(trace.rows):
            continue
        spatial = tuple(shape[2:])
        is_certain = node_of(call.output) in trace.in_place or spatial in known
        if is_certain or any(is_strided(spatial, grid) for grid in known or [whole]):
            known.append(spatial)
    return list(dict.fromkeys(known))


def call_layouts(trace: Trace) -> list[SpatialLayout | None]:
    """Return how the output of every call is read, in the order of ``trace.calls``; ``None`` for what is no map."""
    known = known_grids(trace)
    certain: dict[torch.Size, set[SpatialLayout]] = {}
    layouts: list[SpatialLayout | None] = []
    for call in trace.calls:
        module, shape = trace.modules[call.name], call.output.shape
        layout = _find(trace, call, known)
        alike = certain.setdefault(shape, set())
        if layout is not None and has_own_layout(module):
            alike.add(layout)
        elif layout is not None and len(alike) == 1:
            # A block around linear layers and normalizations hands on what they do.
            (layout,) = alike
        if layout is not None and not known and layout.order == "tokens":
            # The first sequence of a model without convolutions is that of its patches.
            known.append(layout.spatial)
        layouts.append(layout)
    return layouts


def _find(trace: Trace, call: LayerCall, known: Sequence[Spatial]) -> SpatialLayout | None:
    whole = tuple(trace.rows.shape[2:])
    module = trace.modules[call.name]
    if not trace.depends(call) or node_of(call.output) not in trace.positioned:
        return None
    layout = find_layout(call.output.shape, whole, n_rows=len(trace.rows), module=module, known_sizes=known)
    if layout is None or math.prod(layout.spatial) > math.prod(whole):
        return None
    is_picked = node_of(call.output) not in trace.unpicked
    return None if is_picked and layout.spatial not in known else layout
