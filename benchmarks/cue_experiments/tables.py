"""Numbers and tables of a report, in Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["count", "latest", "mean", "mean_and_range", "median", "table"]


def table(columns: Mapping[str, Sequence[str]]) -> str:
    """Return columns as a Markdown table."""
    rows = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def mean(values: Iterable[float], digits: int = 2) -> str:
    """Return the mean in words."""
    return f"{statistics.fmean(values):.{digits}f}"


def mean_and_range(values: Iterable[float], digits: int = 2) -> str:
    """Return the mean, and the range in brackets."""
    known = list(values)
    return f"{mean(known, digits)} ({min(known):.{digits}f} to {max(known):.{digits}f})"


def count(fired: Sequence[int | None]) -> str:
    """Say in how many runs the alarm went on."""
    return f"{sum(epoch is not None for epoch in fired)} of {len(fired)}"


def median(fired: Sequence[int | None]) -> str:
    """Return the median epoch in which the alarm went on."""
    # A run that never fired fires later than all others.
    middle = statistics.median(math.inf if epoch is None else epoch for epoch in fired)
    return "never" if middle == math.inf else f"{middle:g}"


def latest(fired: Sequence[int | None]) -> str:
    """Return the latest epoch in which the alarm went on."""
    known = [epoch for epoch in fired if epoch is not None]
    return f"{max(known)}" if known else "never"
