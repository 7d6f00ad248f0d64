"""The ranked list of suspicions as a table, and as what is needed to dismiss them later."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.discovery.words import HONEST_WORDS
from saliency_callbacks.types import Cell, Table

__all__ = ["COLUMNS", "list_of_suspicions", "records_of"]

COLUMNS = (
    "key", "class", "kind", "what", "share", "counts", "share_elsewhere", "elsewhere", "p_value", "effect",
    "lower_bound", "control", "used", "first_seen",
)  # fmt: skip
"""Of the list; the report goes by these names."""


def list_of_suspicions(suspicions: Mapping[str, Suspicion], said: Sequence[str] = ()) -> Table:
    """Return the list as a table, in its order.

    Args:
        suspicions: Key → what was found, the most credible first. A key lasts; it is in the tag of the picture.
        said: Sentences on the search, such as that it had too little time.

    Returns:
        One row a suspicion: ``share`` and ``share_elsewhere`` are shares of the class and of the class ``elsewhere``,
        with their ``counts``; ``effect``, ``lower_bound`` and ``control`` are in standard deviations of the logits;
        ``used`` is ``yes``, ``no``, or ``unclear`` where the class may be like that by nature, or outputs are not
        finite; ``first_seen`` is an epoch, or empty.

    Example:
        >>> list_of_suspicions({}).rows
        ()
    """
    rows = tuple(_row(key, one) for key, one in suspicions.items())
    return Table(COLUMNS, rows, note=" ".join([*said, HONEST_WORDS]))


def records_of(suspicions: Mapping[str, Suspicion]) -> dict[str, dict[str, Any]]:
    """Return what tells each suspicion from others, for the metadata of an observation.

    Args:
        suspicions: Key → what was found.

    Example:
        >>> records_of({})
        {}
    """
    return {
        key: {
            "class_index": one.class_index,
            "kind": one.kind,
            "what": one.what,
            "bearers": list(one.bearers),
        }
        for key, one in suspicions.items()
    }


def _row(key: str, one: Suspicion) -> tuple[Cell, ...]:
    bearing, size, others, other_size = one.counts
    return (
        Cell(key, "name"),
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
        Cell("yes" if one.is_used else "no" if one.is_conclusive and math.isfinite(one.effect) else "unclear"),
        Cell("" if one.first_seen is None else str(one.first_seen)),
    )
