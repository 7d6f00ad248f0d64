"""What each method costs and needs, whether its maps depend on the weights, and how faithful they were found to be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from saliency_callbacks.methods.facts import Cost, Faithfulness, Sanity
from saliency_callbacks.methods.registry import BUILT_IN, COSTS, FAITHFULNESS, SANITY

__all__ = [
    "COSTS",
    "FAITHFULNESS",
    "SANITY",
    "Cost",
    "Faithfulness",
    "MethodFacts",
    "Sanity",
    "as_table",
    "describe_methods",
]


@dataclass(frozen=True)
class MethodFacts:
    """What to know of a method before it is chosen.

    Args:
        name: Name of the method.
        passes: How often each sample goes forward and backward; methods that share a pass share its cost.
        shares_pass: Whether all of that is the pass that every observation makes anyway.
        needs: What the model or the data must have.
        sanity: How it fared in parameter randomization; ``None`` where that was not measured.
        faithfulness: How it fared in deletion and insertion; ``None`` where that was not measured.
    """

    name: str
    passes: int
    shares_pass: bool
    needs: tuple[str, ...]
    sanity: Sanity | None
    faithfulness: Faithfulness | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, strings, lists and dicts, ready for JSON."""
        return {**asdict(self), "needs": list(self.needs)}


def describe_methods() -> tuple[MethodFacts, ...]:
    """Return the facts of every built-in method.

    Example:
        >>> {fact.name: fact.passes for fact in describe_methods()}["smooth_grad"]
        50
    """
    return tuple(_describe(name, COSTS[name]) for name in BUILT_IN)


def as_table(facts: Iterable[MethodFacts]) -> str:
    """Return a table for a terminal, one line a method."""
    lines = [
        f"{'method':<29}{'passes':>6}  {'needs':<34}{'sanity':<11}{'s':>6}{'s0':>7}{'del':>8}{'ins':>6}{'stab':>6}"
    ]
    for fact in facts:
        measured = f"{'not measured':<24}"
        if fact.sanity is not None:
            measured = f"{fact.sanity.status:<11}{fact.sanity.similarity:>6.2f}{fact.sanity.floor:>7.2f}"
        found = fact.faithfulness
        if found is not None:
            measured += f"{found.deletion_gain:>8.2f}{found.insertion_gain:>6.2f}{found.stability:>6.2f}"
        needs = ", ".join(fact.needs) or "-"
        lines.append(f"{fact.name:<29}{fact.passes:>6}  {needs:<34}{measured}".rstrip())
    return "\n".join(lines)


def _describe(name: str, cost: Cost) -> MethodFacts:
    return MethodFacts(name, cost.passes, cost.shares_pass, cost.needs, SANITY.get(name), FAITHFULNESS.get(name))
