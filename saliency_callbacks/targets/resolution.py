"""What a callback explains at a moment: from its ``target`` to that of the engine."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.selectors import Labels, Target

__all__ = ["resolve_target", "target_name"]


def resolve_target(given: Any, probe: ProbeBatch, pinned: Tensor | None) -> Target:
    """Return what is explained from now on.

    Args:
        given: The callback's ``target``; ``None`` for the labels where the probe has them, else the first prediction.
        probe: The frozen probe.
        pinned: Classes predicted at the first observation ``[N]``; ``None`` before it.
    """
    if given is None:
        given = "initial_prediction" if probe.labels is None else "label"
    if isinstance(given, str) and given == "label":
        assert probe.labels is not None, "checked when the probe was frozen"
        return Labels(probe.labels)
    if isinstance(given, str) and given == "initial_prediction":
        return "predicted" if pinned is None else pinned
    target: Target = given
    return target


def target_name(given: Any, probe: ProbeBatch) -> str:
    """Return what :func:`resolve_target` explains, in words for a record of the run."""
    if given is None:
        return "initial_prediction" if probe.labels is None else "label"
    return str(getattr(given, "__qualname__", given))
