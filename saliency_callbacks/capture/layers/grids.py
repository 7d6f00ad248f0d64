"""Which outputs of a forward are maps, and how each is read: those that lie on a grid of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from saliency_callbacks.capture.hooks import LayerCall
from saliency_callbacks.capture.layers.dataflow import node_of
from saliency_callbacks.capture.layers.extra_tokens import ExtraTokens
from saliency_callbacks.capture.layers.layout import (
    SpatialLayout,
    find_layout,
    has_channels_first,
    has_frame_rows,
    has_own_layout,
)
from saliency_callbacks.capture.layers.sizes import is_strided
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
    certain = set(trace.sources)
    for call in trace.calls:
        if not has_channels_first(trace.modules[call.name]) or not trace.depends(call):
            continue
        spatial, node = _size_of(call.output.shape, whole, len(trace.rows)), node_of(call.output)
        if spatial is None:
            continue
        # The first layer that is given the frames of a video one by one is given those of the input.
        is_first_of_frames = not known and call.output.ndim == len(whole) + 1
        is_certain = (
            is_first_of_frames or spatial in known or any(is_strided(spatial, grid) for grid in known or [whole])
        )
        if is_certain or trace.flow.leads_in_place(node, certain):
            known.append(spatial)
            certain.add(node)
    return list(dict.fromkeys(known))


def _size_of(shape: Sequence[int], whole: Spatial, n_rows: int) -> Spatial | None:
    """Return the size of an output with channels first; ``None`` where its rows are no samples, nor frames of them."""
    if len(shape) == len(whole) + 2 and shape[0] == n_rows:
        return tuple(shape[2:])
    if len(shape) == len(whole) + 1 and has_frame_rows(shape, whole, n_rows):
        return (whole[0], *shape[2:])
    return None


def call_layouts(trace: Trace) -> list[SpatialLayout | None]:
    """Return how the output of every call is read, in the order of ``trace.calls``; ``None`` for what is no map."""
    known, extra = known_grids(trace), ExtraTokens(trace)
    certain: dict[torch.Size, set[SpatialLayout | None]] = {}
    layouts: list[SpatialLayout | None] = []
    for call in trace.calls:
        module, shape = trace.modules[call.name], call.output.shape
        layout = _find(trace, call, known, extra)
        alike = certain.setdefault(shape, set())
        if has_own_layout(module) and _has_positions(trace, call):
            alike.add(layout)
        elif layout is not None and len(alike) == 1:
            # A block around linear layers and normalizations hands on what they do.
            (layout,) = alike
        if layout is not None and not known and (len(layout.spatial) > 1 or has_own_layout(module)):
            # The first map of a model without convolutions is that of its patches.
            known.append(layout.spatial)
        layouts.append(layout)
    return layouts


def _find(trace: Trace, call: LayerCall, known: Sequence[Spatial], extra: ExtraTokens) -> SpatialLayout | None:
    whole = tuple(trace.rows.shape[2:])
    module = trace.modules[call.name]
    if not _has_positions(trace, call):
        return None
    node = node_of(call.output)
    layout = find_layout(call.output.shape, whole, n_rows=len(trace.rows), module=module, known_sizes=known)
    if layout is None or math.prod(layout.spatial) > math.prod(whole):
        return None
    if layout.spatial not in known and (node not in trace.unpicked or (layout.n_prefix and not known)):
        return None
    if not layout.n_prefix:
        return layout
    n_prefix = extra.leading(node, layout.n_prefix)
    return None if n_prefix is None else replace(layout, n_prefix=n_prefix, n_suffix=layout.n_prefix - n_prefix)


def _has_positions(trace: Trace, call: LayerCall) -> bool:
    return trace.depends(call) and node_of(call.output) in trace.positioned
