"""What a callback explains at a moment: from its ``target`` to that of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.recorded import recorded
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import LOGITS, Link
from saliency_callbacks.targets.multi_label import MultiLabels
from saliency_callbacks.targets.named import NamedTarget, Samples
from saliency_callbacks.targets.selectors import Labels, Target
from saliency_callbacks.targets.similarity import SimilarityTarget
from saliency_callbacks.types.outlines import Outlines

__all__ = [
    "class_target",
    "explains_labels",
    "given_target",
    "outlines_of",
    "pins_after",
    "resolve_target",
    "samples_of",
    "target_name",
]

_NO_PINS: Mapping[str, Tensor] = MappingProxyType({})
_OF_CLASSES = ("label", "initial_prediction", "predicted")


def resolve_target(
    given: Any,
    probe: ProbeBatch,
    pinned: Tensor | None,
    link: Link = LOGITS,
    pins: Mapping[str, Tensor] = _NO_PINS,
    samples: Samples | None = None,
) -> Target:
    """Return what is explained from now on.

    Args:
        given: The callback's ``target``; ``None`` for the labels where the probe has them, else the first prediction,
            or of embeddings the similarity to the first ones.
        probe: The frozen probe.
        pinned: Classes predicted at the first observation ``[N]``; ``None`` before it.
        link: How the outputs are read.
        pins: What the target has found at the first observation; empty before it.
        samples: What a target with names is told of the samples; what the probe itself tells by default.

    Raises:
        TargetError: If a target with names does not fit the probe.
    """
    given = given_target(given, probe, link)
    if isinstance(given, NamedTarget):
        return given.of(samples or samples_of(probe)).pinned(pins)
    if isinstance(given, str) and given == "label":
        if probe.multi_labels is not None:
            return MultiLabels(probe.multi_labels)
        assert probe.labels is not None, "checked when the probe was frozen"
        return Labels(probe.labels)
    if isinstance(given, str) and given == "initial_prediction":
        return "predicted" if pinned is None else pinned
    target: Target = given
    return target


def samples_of(probe: ProbeBatch, size: Sequence[int] | None = None, names: Sequence[str] | None = None) -> Samples:
    """Return what a target with names is told of a probe.

    Args:
        probe: The frozen probe.
        size: Spatial size of the explained input.
        names: Names of the classes; the probe's own by default.
    """
    return Samples(probe.size, tuple(size) if size else None, names or probe.class_names, probe)


def class_target(given: Any) -> str | None:
    """Return in words that a ``target`` is about classes; ``None`` where it is not, or is a position in the output."""
    is_about = (
        given.about_classes if isinstance(given, NamedTarget) else isinstance(given, str) and given in _OF_CLASSES
    )
    return f"target={given!r}" if is_about else None


def explains_labels(given: Any) -> bool:
    """Return whether a ``target`` is the labels, where there are any."""
    return given is None or (isinstance(given, str) and given == "label")


def pins_after(target: Target, pins: Mapping[str, Tensor], outputs: Tensor | None) -> dict[str, Tensor]:
    """Return what the next observation goes by: of embeddings the first of each sample that has a direction.

    Args:
        target: What was explained.
        pins: What the target had found before.
        outputs: The embeddings of now, ``[N, D]``.
    """
    if not isinstance(target, SimilarityTarget) or outputs is None or not target.compares_with_first:
        return dict(pins)
    now, reference = outputs.detach().float().cpu(), pins.get("reference")
    if reference is None:
        return {**pins, "reference": now} if target.is_open else dict(pins)
    if reference.shape != now.shape:
        return dict(pins)
    # A network whose last layer starts at zero has none before its first step.
    return {**pins, "reference": torch.where(reference.norm(dim=1, keepdim=True) > 0, reference, now)}


def outlines_of(target: Target | None, samples: Samples) -> Outlines | None:
    """Return where what was explained lies; ``None`` for a target without a place."""
    return target.outlines(samples) if isinstance(target, NamedTarget) else None


def target_name(given: Any, probe: ProbeBatch, link: Link = LOGITS) -> str:
    """Return what :func:`resolve_target` explains, in words for a record of the run."""
    given = given_target(given, probe, link)
    if isinstance(given, NamedTarget):
        return repr(given)
    return given if isinstance(given, str) else recorded(given)


def given_target(given: Any, probe: ProbeBatch, link: Link) -> Any:
    """Return a callback's ``target``, or what stands for it where it has none."""
    if given is not None:
        return given
    if not link.classifies:
        return SimilarityTarget()
    return "initial_prediction" if probe.labels is None and probe.multi_labels is None else "label"
