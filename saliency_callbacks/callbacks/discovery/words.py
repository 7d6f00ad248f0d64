"""What a discovery says: its list as a table, and its alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from saliency_callbacks.callbacks.discovery.state import CONFIRMING, Known
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.types.tables import Cell, Table

__all__ = ["describe_alarm", "tabulated"]

_COLUMNS = ("class", "what", "in the class", "elsewhere", "p", "effect", "used", "first seen")
_MEANING = (
    "Only a person can tell a planted cue from a template that is the object; an empty list does not prove that there "
    "is no shortcut."
)


def tabulated(current: Sequence[Known], n_dismissed: int, *, is_complete: bool) -> Table:
    """Return the list of suspicions as a table, the most credible first.

    Args:
        current: What was found, without what was dismissed.
        n_dismissed: How many were.
        is_complete: Whether the search had the time that it needs.
    """
    said = [] if current else ["Nothing is suspected."]
    said += [f"{n_dismissed} dismissed."] if n_dismissed else []
    said += [] if is_complete else ["The search ran out of max_seconds, so there may be more."]
    rows = tuple(_row(one.suspicion) for one in current)
    return Table(_COLUMNS, rows, " ".join([*said, _MEANING]))


def _row(one: Suspicion) -> tuple[Cell, ...]:
    bearing, size, others, other_size = one.counts
    kind = "contrast " if one.statistic == "contrast" else ""
    return (
        Cell(one.class_name, "name"),
        Cell(one.what, "name"),
        Cell(f"{one.share:.0%} ({bearing} of {size})"),
        Cell(f"{one.share_elsewhere:.0%} ({others} of {other_size} of class {one.elsewhere})", "name"),
        Cell(f"{one.p_value:.2g}"),
        Cell(f"{kind}{one.effect:.2f} (above {one.lower_bound:.2f}; control {one.control:.2f})"),
        Cell("yes" if one.is_used else "no"),
        Cell("" if one.first_seen is None else f"epoch {one.first_seen}"),
    )


def describe_alarm(one: Suspicion, threshold: float, epoch: int, written: Callable[[str], str] = str) -> str:
    """Say in words what set the alarm off.

    Args:
        one: The suspicion, as it was found now.
        threshold: What the lower bound of its effect exceeds.
        epoch: The epoch.
        written: How a name out of the data is written.
    """
    bearing, size, others, other_size = one.counts
    return (
        f"the model uses {written(one.what)} as a sign of class {written(one.class_name)}: it is in {one.share:.0%} of "
        f"that class ({bearing} of {size}) and in at most {one.share_elsewhere:.0%} of another ({others} of "
        f"{other_size} of class {written(one.elsewhere)}), and put into samples of other classes it raises the class "
        f"by {one.effect:.2f} standard deviations of the logits ({one.statistic}; lower bound {one.lower_bound:.2f} > "
        f"{threshold:g} in {CONFIRMING} evaluations in a row, the last in epoch {epoch}). Look at its picture: nobody "
        "but you can tell a shortcut from a template that is the object"
    )
