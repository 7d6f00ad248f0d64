"""What a discovery says when its alarm fires."""

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
        f"at most {one.share_elsewhere:.0%} of any other ({others} of {other_size} in class {written(one.elsewhere)})"
    )
    elsewhere = at_most if others else "no other"
    beyond = "" if one.statistic == "effect" else " beyond the median of the other classes"
    return (
        f"the model uses {written(one.what)} as evidence for class {written(one.class_name)}: the cue is in "
        f"{one.share:.0%} of that class ({bearing} of {size}) and in {elsewhere}; inserted into samples of other "
        f"classes, it raises the margin of the class by {one.effect:.2f} standard deviations of the logits{beyond} "
        f"(lower bound {one.lower_bound:.2f} > threshold {threshold:g} in {CONFIRMING} evaluations in a row, most "
        f"recently in epoch {epoch}). Look at its picture: only a person can tell a shortcut from the object itself"
    )
