"""What a callback explains at a moment: from its ``target`` to that of the engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import LOGITS, Link
from saliency_callbacks.targets.multi_label import MultiLabels
from saliency_callbacks.targets.selectors import Labels, Target
from saliency_callbacks.targets.similarity import SimilarityTarget

__all__ = ["class_target", "explains_labels", "resolve_target", "settled_reference", "target_name"]

_OF_CLASSES = ("label", "initial_prediction", "predicted")


def resolve_target(
    given: Any, probe: ProbeBatch, pinned: Tensor | None, link: Link = LOGITS, reference: Tensor | None = None
) -> Target:
    """Return what is explained from now on.

    Args:
        given: The callback's ``target``; ``None`` for the labels where the probe has them, else the first prediction,
            or of embeddings the similarity to the first ones.
        probe: The frozen probe.
        pinned: Classes predicted at the first observation ``[N]``; ``None`` before it.
        link: How the outputs are read.
        reference: Embeddings of the first observation ``[N, D]``; ``None`` before it.
    """
    given = _default(probe, link) if given is None else given
    if isinstance(given, SimilarityTarget):
        is_pinned = given.is_open and given.view is None and reference is not None
        return given.settled(reference) if is_pinned and reference is not None else given
    if isinstance(given, str) and given == "label":
        if probe.multi_labels is not None:
            return MultiLabels(probe.multi_labels)
        assert probe.labels is not None, "checked when the probe was frozen"
        return Labels(probe.labels)
    if isinstance(given, str) and given == "initial_prediction":
        return "predicted" if pinned is None else pinned
    target: Target = given
    return target


def class_target(given: Any) -> str | None:
    """Return in words that a ``target`` is about classes; ``None`` where it is not, or is a position in the output."""
    return f"target={given!r}" if isinstance(given, str) and given in _OF_CLASSES else None


def explains_labels(given: Any) -> bool:
    """Return whether a ``target`` is the labels, where there are any."""
    return given is None or (isinstance(given, str) and given == "label")


def settled_reference(target: Target, reference: Tensor | None, outputs: Tensor | None) -> Tensor | None:
    """Return the embeddings that the next observation compares with: the first of each sample that has a direction.

    Args:
        target: What was explained.
        reference: What it was compared with, ``[N, D]``.
        outputs: The embeddings of now, ``[N, D]``.
    """
    if not isinstance(target, SimilarityTarget) or outputs is None or target.view is not None:
        return reference
    now = outputs.detach().float().cpu()
    if reference is None:
        return now if target.is_open else None
    if reference.shape != now.shape:
        return reference
    # A network whose last layer starts at zero has none before its first step.
    return torch.where(reference.norm(dim=1, keepdim=True) > 0, reference, now)


def target_name(given: Any, probe: ProbeBatch, link: Link = LOGITS) -> str:
    """Return what :func:`resolve_target` explains, in words for a record of the run."""
    given = _default(probe, link) if given is None else given
    return str(getattr(given, "__qualname__", given))


def _default(probe: ProbeBatch, link: Link) -> Any:
    if not link.classifies:
        return SimilarityTarget()
    return "initial_prediction" if probe.labels is None and probe.multi_labels is None else "label"
