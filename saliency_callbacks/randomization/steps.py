"""In which order layers are randomized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from saliency_callbacks.capture.weights.layers import WeightLayer
from saliency_callbacks.errors import ConfigurationError, nearest_names

__all__ = ["Layerwise", "Order", "Step", "check_order", "steps_of"]

Layerwise = Literal["top_down", "bottom_up", "independent"]
Order = Literal["full", "top_down", "bottom_up", "independent"]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the randomization.

    Args:
        name: The layer that is randomized in this step.
        layers: The layers that are randomized in this step.
        is_fresh: Whether the trained weights are restored first.
    """

    name: str
    layers: tuple[WeightLayer, ...]
    is_fresh: bool


def check_order(order: str) -> Order:
    """Return ``order``.

    Raises:
        ConfigurationError: If there is no such order.
    """
    if order not in get_args(Order):
        raise ConfigurationError(
            f"order={order!r} is unknown; {nearest_names(str(order), get_args(Order))} Expected one of "
            f"{list(get_args(Order))}"
        )
    return order  # type: ignore[return-value]


def steps_of(order: Order, layers: Sequence[WeightLayer]) -> tuple[Step, ...]:
    """Return the steps of one draw.

    Args:
        order: ``full``: all layers at once. ``top_down``: from the scores to the input, each step on top of the
            earlier ones. ``bottom_up``: the other way. ``independent``: each layer alone.
        layers: In execution order.
    """
    if order == "full":
        return (Step("all layers", tuple(layers), is_fresh=True),)
    ordered = list(layers)[::-1] if order == "top_down" else list(layers)
    return tuple(
        Step(layer.name, (layer,), is_fresh=order == "independent" or index == 0) for index, layer in enumerate(ordered)
    )
