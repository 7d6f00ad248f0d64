"""The ranked list of suspicions as a table."""

from __future__ import annotations

from collections.abc import Iterable

from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.types import Cell, Table

__all__ = ["COLUMNS", "HONEST_WORDS", "list_of_suspicions"]

COLUMNS = (
    "key", "class", "kind", "what", "share", "counts", "share_elsewhere", "elsewhere", "p_value", "effect",
    "lower_bound", "control", "used", "first_seen",
)  # fmt: skip

HONEST_WORDS = (
    "Finds pixels that many images of a class share almost exactly, places and properties that differ by class, and "
    "which of these the network uses. Cannot tell a planted cue from a template that is the object. Misses what "
    "varies. Bounds chance findings, not natural ones. An empty list proves nothing."
)
"""What the list says and what it does not, for everywhere it is shown."""


def list_of_suspicions(suspicions: Iterable[Suspicion]) -> Table:
    """Return the list as a table, in its order.

    Args:
        suspicions: What was found, the most credible first.

    Returns:
        One row a suspicion: ``key`` is its name; ``share`` and ``share_elsewhere`` are shares of the class and of the
        class ``elsewhere``, with their ``counts``; ``effect``, ``lower_bound`` and ``control`` are in standard
        deviations of the logits; ``used`` is ``yes`` or ``no``; ``first_seen`` is an epoch, or empty.

    Example:
        >>> list_of_suspicions([]).rows
        ()
    """
    return Table(COLUMNS, tuple(_row(one) for one in suspicions), note=HONEST_WORDS)


def _row(one: Suspicion) -> tuple[Cell, ...]:
    bearing, size, others, other_size = one.counts
    return (
        Cell(one.name, "name"),
        Cell(one.class_name, "name"),
        Cell(one.kind),
        # Words of a text may be part of it.
        Cell(one.what, "name"),
        Cell(f"{one.share:.0%}"),
        Cell(f"{bearing} of {size}, {others} of {other_size}"),
        Cell(f"{one.share_elsewhere:.0%}"),
        Cell(one.elsewhere, "name"),
        Cell(f"{one.p_value:.1g}"),
        Cell(f"{one.effect:.2f}"),
        Cell(f"{one.lower_bound:.2f}"),
        Cell(f"{one.control:.2f}"),
        Cell("yes" if one.is_used else "no"),
        Cell("" if one.first_seen is None else str(one.first_seen)),
    )
