"""Which calls of a layer make its map, where it runs several times in one forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.capture.hooks import LayerCall
from saliency_callbacks.capture.layers.dataflow import node_of
from saliency_callbacks.capture.layers.places import View, measure_places, seen_alike
from saliency_callbacks.capture.layers.trace import Trace
from saliency_callbacks.errors import warn

__all__ = ["CallMaps", "choose_calls", "ends_of_chains"]


@dataclass(frozen=True)
class CallMaps:
    """The calls of a layer that make its map.

    The calls of one layer on several views of one input are read as one layer that has the channels of all of them:
    with activations :math:`A^{(m)}` of call m, turned back where the view was, every formula is applied to
    :math:`[A^{(1)}; …; A^{(M)}]`. So the terms are summed over the calls before the ReLU.

    Args:
        n_calls: How often the layer ran.
        views: Number of each call that is taken, and how its map is turned back.
    """

    n_calls: int
    views: tuple[tuple[int, View], ...]

    @classmethod
    def last_of(cls, n_calls: int) -> CallMaps:
        """Return the choice of the last call."""
        return cls(n_calls, ((n_calls - 1, View()),))

    def chosen(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs of the calls that are taken."""
        return [outputs[number] for number, _ in self.views]

    def joined(self, maps: Sequence[Tensor]) -> Tensor:
        """Join the maps ``[N, K, *spatial]`` of the calls that are taken."""
        turned = [view.undo(one) for one, (_, view) in zip(maps, self.views, strict=True)]
        return turned[0] if len(turned) == 1 else torch.cat(turned, dim=1)


def ends_of_chains(trace: Trace, calls: Sequence[LayerCall]) -> list[int]:
    """Return the numbers of the calls that depend on the explained input and feed no later one of them.

    In a recurrence, or where blocks share their weights, that is the last call.
    """
    dependent = [number for number, call in enumerate(calls) if trace.depends(call)]
    ends = []
    for number in dependent:
        fed = trace.flow.reaching([node_of(calls[number].output)])
        if not any(node_of(calls[later].output) in fed for later in dependent if later != number):
            ends.append(number)
    return ends


def choose_calls(trace: Trace, calls: Sequence[LayerCall], maps: Sequence[Tensor | None]) -> CallMaps:
    """Choose the calls that make the map of a layer.

    Args:
        trace: A forward of one sample.
        calls: The calls of the layer, in order.
        maps: The output of each as ``[1, K, *spatial]``; ``None`` where it has none.
    """
    name = calls[0].name
    ends = ends_of_chains(trace, calls) or [len(calls) - 1]
    ends = [end for end in ends if maps[end] is not None] or ends
    last = CallMaps(len(calls), ((ends[-1], View()),))
    if len(ends) == 1:
        return last
    known = [map_ for map_ in (maps[end] for end in ends) if map_ is not None]
    if len({map_.shape for map_ in known}) != 1:
        _say_which(name, len(calls), ends, ends[-1], "their outputs differ in size")
        return last
    places = [measure_places(trace.rows, map_) for map_ in known]
    views = seen_alike(places)
    if views is not None:
        return CallMaps(len(calls), tuple(zip(ends, views, strict=True)))
    upright = [end for end, place in zip(ends, places, strict=True) if place.is_upright]
    chosen = upright[-1] if upright else ends[-1]
    _say_which(name, len(calls), ends, chosen, "they do not cover the same positions")
    return CallMaps(len(calls), ((chosen, View()),))


def _say_which(name: str, n_calls: int, ends: Sequence[int], chosen: int, why: str) -> None:
    warn(
        ("calls side by side", name),
        f"layer {name!r} runs {n_calls} times per forward, {len(ends)} of them in parallel on the explained input, "
        f"and {why}; the map shows only call {chosen + 1}. To cover all calls, name a later layer that runs once, "
        "after they are joined",
    )
