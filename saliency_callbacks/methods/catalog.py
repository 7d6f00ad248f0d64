"""What each method costs and needs, and whether its maps were found to depend on the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from saliency_callbacks.methods.registry import BUILT_IN
from saliency_callbacks.types import Method, Pass, Quantity

__all__ = ["SANITY", "MethodFacts", "Sanity", "as_table", "describe_methods"]


@dataclass(frozen=True)
class Sanity:
    """How a method fared in parameter randomization.

    Args:
        status: ``fails`` where the floor or the similarity says that the maps do not come from the weights, ``passes``
            where they do, ``undecided`` where trained and random maps are alike and random ones are not.
        similarity: s, with the maps of random copies; signed Spearman, in [-1, 1].
        floor: s₀, between random copies.
    """

    status: Literal["passes", "fails", "undecided"]
    similarity: float
    floor: float


SANITY: Mapping[str, Sanity] = {
    "gradient": Sanity("passes", -0.01, 0.0),
    # The gradient's values with another reduction: what is correlated is the same.
    "gradient_norm": Sanity("passes", -0.01, 0.0),
    "input_x_gradient": Sanity("passes", 0.0, 0.0),
    "integrated_gradients": Sanity("passes", 0.02, 0.0),
    "smooth_grad": Sanity("passes", 0.0, 0.0),
    "smooth_grad_squared": Sanity("fails", 0.49, 0.67),
    "var_grad": Sanity("fails", 0.57, 0.76),
    "smooth_integrated_gradients": Sanity("passes", 0.02, 0.0),
    "guided_backprop": Sanity("fails", 0.53, 0.66),
    "deconvnet": Sanity("passes", 0.28, 0.28),
    "guided_grad_cam": Sanity("fails", 0.35, 0.4),
    "grad_cam": Sanity("passes", 0.03, 0.02),
    "grad_cam_plus_plus": Sanity("fails", 0.73, 0.66),
    "hires_cam": Sanity("passes", 0.02, 0.01),
    "layer_cam": Sanity("passes", 0.27, 0.2),
    "xgrad_cam": Sanity("passes", 0.16, 0.04),
}
"""Measured by ``benchmarks/sanity.py`` on two small networks for digits, with 20 random copies each; of both, the one
on which the method fares worse. Another network may give another result: see ``RandomizationTest``."""


@dataclass(frozen=True)
class MethodFacts:
    """What to know of a method before it is chosen.

    Args:
        name: Name of the method.
        passes: How often each sample goes forward and backward; methods that share a pass share its cost.
        shares_pass: Whether all of that is the pass that every observation makes anyway.
        needs: What the model or the data must have.
        sanity: How it fared in parameter randomization; ``None`` where that was not measured.
    """

    name: str
    passes: int
    shares_pass: bool
    needs: tuple[str, ...]
    sanity: Sanity | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, strings, lists and dicts, ready for JSON."""
        return {**asdict(self), "needs": list(self.needs)}


def describe_methods() -> tuple[MethodFacts, ...]:
    """Return the facts of every built-in method.

    Example:
        >>> {fact.name: fact.passes for fact in describe_methods()}["smooth_grad"]
        50
    """
    return tuple(_describe(name, make()) for name, make in BUILT_IN.items())


def as_table(facts: Iterable[MethodFacts]) -> str:
    """Return a table for a terminal, one line a method."""
    lines = [f"{'method':<29}{'passes':>6}  {'needs':<34}{'sanity':<11}{'s':>6}{'s0':>7}"]
    for fact in facts:
        measured = "not measured"
        if fact.sanity is not None:
            measured = f"{fact.sanity.status:<11}{fact.sanity.similarity:>6.2f}{fact.sanity.floor:>7.2f}"
        needs = ", ".join(fact.needs) or "-"
        lines.append(f"{fact.name:<29}{fact.passes:>6}  {needs:<34}{measured}".rstrip())
    return "\n".join(lines)


def _describe(name: str, method: Method) -> MethodFacts:
    required = method.requires()
    return MethodFacts(
        name=name,
        passes=sum(_rows(one) for one in required),
        shares_pass=set(required) == {Pass()},
        needs=_needs(required),
        sanity=SANITY.get(name),
    )


def _rows(one: Pass) -> int:
    """Return how often a pass feeds each sample."""
    points = one.path.n_steps * len(one.path.baselines) if one.path else 1
    copies = one.noise.nt_samples if one.noise else 1
    return points * copies


def _needs(required: Mapping[Pass, Quantity]) -> tuple[str, ...]:
    needs = []
    if any(Quantity.ACTIVATIONS in quantities for quantities in required.values()):
        needs.append("layer with a spatial map")
    if any(one.relu_rule != "standard" for one in required):
        needs.append("ReLUs")
    if any(one.path for one in required):
        needs.append("baseline")
    return tuple(needs)
