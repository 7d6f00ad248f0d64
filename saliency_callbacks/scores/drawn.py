"""Which scores loggers draw: by default only those that a person acts on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from saliency_callbacks.errors import ConfigurationError

__all__ = ["FEW", "Scalars", "checked_scalars", "drawn"]

Scalars = Literal["few", "all"] | Sequence[str]

FEW = (
    "drift_previous",
    "drift_initial",
    "region_lift",
    "probe_accuracy",
    "similarity",
    "floor",
    "deletion_gain",
    "insertion_gain",
    "stability",
    "effect",
    "contrast",
    "lower_bound",
    "threshold",
    "alarm",
    "n_found",
    "n_used",
    "largest_effect",
)
"""Last parts of the tags that are drawn by default."""


def checked_scalars(value: Any) -> Scalars:
    """Return which scores are drawn.

    Raises:
        ConfigurationError: If it is neither ``"few"`` nor ``"all"`` nor a list of patterns.

    Example:
        >>> checked_scalars(["*/entropy"])
        ('*/entropy',)
    """
    if value in ("few", "all"):
        return "few" if value == "few" else "all"
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or not all(isinstance(pattern, str) and pattern for pattern in value):
        raise ConfigurationError(
            f"scalars={value!r}; expected 'few', 'all' or a list of patterns of tags, such as "
            "['*/drift_previous', 'saliency/grad_cam/*']"
        )
    return tuple(value)


def drawn(scores: Mapping[str, float], scalars: Scalars) -> dict[str, float]:
    """Return the scores that loggers draw.

    Args:
        scores: Tag → score.
        scalars: ``"few"`` for those that a person acts on, ``"all"``, or a list of shell patterns (:mod:`fnmatch`), in
            which ``"few"`` stands for those.

    Example:
        >>> scores = {"saliency/grad_cam/drift_previous": 0.2, "saliency/grad_cam/gini": 0.6}
        >>> drawn(scores, "few"), drawn(scores, ["*/gini"])
        ({'saliency/grad_cam/drift_previous': 0.2}, {'saliency/grad_cam/gini': 0.6})
    """
    if scalars == "all":
        return dict(scores)
    patterns = ("few",) if scalars == "few" else scalars
    return {tag: score for tag, score in scores.items() if any(_fits(tag, pattern) for pattern in patterns)}


def _fits(tag: str, pattern: str) -> bool:
    return tag.rpartition("/")[2] in FEW if pattern == "few" else fnmatchcase(tag, pattern)
