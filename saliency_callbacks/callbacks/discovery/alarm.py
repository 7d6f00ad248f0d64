"""What a discovery says when its alarm goes on."""

from __future__ import annotations

from collections.abc import Callable

from saliency_callbacks.callbacks.discovery.state import CONFIRMING
from saliency_callbacks.discovery.suspicion import Suspicion

__all__ = ["describe_alarm"]


def describe_alarm(one: Suspicion, threshold: float, epoch: int, written: Callable[[str], str] = str) -> str:
    """Say in words what set the alarm off.

    Args:
        one: The suspicion, as it was found now.
        threshold: What the lower bound of its effect exceeds.
        epoch: The epoch.
        written: How a name out of the data is written.
    """
    bearing, size, others, other_size = one.counts
    at_most = (
        f"at most {one.share_elsewhere:.0%} of another ({others} of {other_size} of class {written(one.elsewhere)})"
    )
    elsewhere = at_most if others else "no other"
    return (
        f"the model uses {written(one.what)} as a sign of class {written(one.class_name)}: it is in {one.share:.0%} of "
        f"that class ({bearing} of {size}) and in {elsewhere}, and put into samples of other classes it raises the "
        f"class by {one.effect:.2f} standard deviations of the logits ({one.statistic}; lower bound "
        f"{one.lower_bound:.2f} > {threshold:g} in {CONFIRMING} evaluations in a row, the last in epoch {epoch}). Look "
        "at its picture: only you can tell a shortcut from a template that is the object"
    )
