"""What stands for a score that has no value yet, where something monitors it."""

from __future__ import annotations

from saliency_callbacks.scores.similarities import SIMILARITIES

__all__ = ["when_undefined"]

_ONE = frozenset(
    {
        "calibrated",
        "contrast",
        "drift_initial",
        "drift_previous",
        "effect",
        "entropy",
        "floor",
        "lower_bound",
        "random_logit",
        "removal_effect",
        "similarity",
        *SIMILARITIES,
        *(f"{name}_floor" for name in SIMILARITIES),
    }
)


def when_undefined(tag: str) -> float:
    """Return what is monitored of a score before it has its first value: nothing that could pass for a good one.

    Maps that show nothing are unrelated to earlier ones (a drift of 1), evenly spread (an entropy of 1), and as similar
    to those of a random model as can be (1); a cue whose effect is unknown is not ruled out (1). Everything else is 0:
    no share of a region, no accuracy.

    Args:
        tag: Its full tag.

    Example:
        >>> when_undefined("saliency/grad_cam/drift_previous"), when_undefined("saliency/grad_cam/gini")
        (1.0, 0.0)
    """
    return float(tag.rpartition("/")[2] in _ONE)
