"""The prediction of a dense model (segmentation, anomaly maps), which is no explanation of itself."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from enum import Flag, auto

from torch import Tensor
from torch.autograd.graph import Node

from saliency_callbacks.capture.hooks import LayerCall
from saliency_callbacks.capture.layers.dataflow import is_kind, mixes_channels, node_of
from saliency_callbacks.capture.layers.layout import SpatialLayout
from saliency_callbacks.capture.layers.trace import Trace

__all__ = ["read_as_they_are"]

_SUMMING = (
    "Cdist",
    "EuclideanDist",
    "LinalgVectorNorm",
    "Logsumexp",
    "Mean",
    "Norm",
    "Prod",
    "Std",
    "Sum",
    "Var",
)


class _Way(Flag):
    """How the score is reached."""

    BEHIND = auto()
    """From what the model returns; the target's own computation."""
    AS_IS = auto()
    """Through a dense output, with the channels as they are: resized, cropped, squashed, picked."""
    SUMMED = auto()
    """As before, but summed or compared over some dimension."""
    WEIGHED = auto()
    """Through weights that mix channels, or not through a dense output."""


def read_as_they_are(trace: Trace, maps: Sequence[tuple[LayerCall, SpatialLayout]]) -> Collection[LayerCall]:
    """Return the calls whose output is what a dense model predicts, but for resizing and elementwise functions.

    Their Grad-CAM is the prediction once more. Only outputs with space count: a classifier that averages a map of its
    classes, as SqueezeNet does, predicts no map, and that map is its class activation map. A distance between feature
    maps, as of a student and a teacher, is another thing than its features; one between the input and its
    reconstruction is not.

    Args:
        trace: The forward.
        maps: Calls, and how their outputs are read.
    """
    dense = [output for output in trace.outputs if output.requires_grad and _is_dense(output, trace, maps)]
    if not dense:
        return []
    ways = _ways(trace, dense)
    n_channels = {_n_channels(output, trace, maps) for output in dense}
    found = []
    for call, layout in maps:
        way = ways.get(node_of(call.output))
        map_shape = layout.to_map(call.output).shape[1:]
        is_picture = map_shape == trace.rows.shape[1:]
        if way == _Way.AS_IS or (
            way in (_Way.SUMMED, _Way.AS_IS | _Way.SUMMED) and (is_picture or map_shape[0] in n_channels)
        ):
            found.append(call)
    return found


def _ways(trace: Trace, dense: Sequence[Tensor]) -> dict[Node, _Way]:
    heads = {node_of(output) for output in dense}
    others = {node_of(output) for output in trace.outputs if output.requires_grad} - heads
    ways: dict[Node, _Way] = {}
    for node in trace.flow.nodes:
        way = _Way(0)
        for user, _ in trace.flow.users.get(node, ()):
            way |= _through(user, ways[user])
        if not way:
            way = _Way.BEHIND
        if node in heads and _Way.BEHIND in way:
            way = way & ~_Way.BEHIND | _Way.AS_IS
        elif node in others and _Way.BEHIND in way:
            way = way & ~_Way.BEHIND | _Way.WEIGHED
        ways[node] = way
    return ways


def _through(user: Node, way: _Way) -> _Way:
    if mixes_channels(user):
        return way & _Way.BEHIND | (_Way.WEIGHED if way & ~_Way.BEHIND else _Way(0))
    if is_kind(user, _SUMMING) and _Way.AS_IS in way:
        return way & ~_Way.AS_IS | _Way.SUMMED
    return way


def _is_dense(output: Tensor, trace: Trace, maps: Sequence[tuple[LayerCall, SpatialLayout]]) -> bool:
    n_spatial = trace.rows.ndim - 2
    if output.ndim < n_spatial + 1 or len(output) != len(trace.rows):
        return False
    if output.ndim == n_spatial + 2 and n_spatial > 1:
        return math.prod(output.shape[2:]) > 1 and math.prod(output.shape[1:-1]) > 1
    sizes = {tuple(trace.rows.shape[2:]), *(layout.spatial for _, layout in maps)}
    sizes |= {(math.prod(size),) for size in sizes}
    return any(
        tuple(output.shape[first : first + len(size)]) == size
        for size in sizes
        if math.prod(size) > 1
        for first in range(1, output.ndim)
    )


def _n_channels(output: Tensor, trace: Trace, maps: Sequence[tuple[LayerCall, SpatialLayout]]) -> int:
    n_spatial = trace.rows.ndim - 2
    if output.ndim == n_spatial + 1:
        return 1
    sizes = {tuple(trace.rows.shape[2:]), *(layout.spatial for _, layout in maps)}
    is_last = (
        output.ndim == n_spatial + 2 and tuple(output.shape[1:-1]) in sizes and tuple(output.shape[2:]) not in sizes
    )
    return int(output.shape[-1 if is_last else 1])
