"""What a detector says of a picture: boxes, each with a score for every class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import OutputError, TargetError
from saliency_callbacks.targets.detection.geometry import corners, overlap

__all__ = ["Candidates", "are_detections", "n_query_scores", "read_candidates"]

_NONE = -torch.inf


@dataclass(frozen=True, eq=False)
class Candidates:
    """The boxes that a model considers in one picture.

    Args:
        boxes: Corners in pixels of the explained input, ``[K, 4]``.
        logits: Score of each class ``[K, C]``, -inf where a box is none of a class.
        probabilities: That each box is of each class, ``[K, C]``.
        are_all: Whether they are all that the model can say, rather than what it has selected: one that overlaps best
            stands for an object that is not found.
        background: The column of "no object"; ``None`` where there is none, or that is not known.
    """

    boxes: Tensor
    logits: Tensor
    probabilities: Tensor
    are_all: bool
    background: int | None = None

    def check(self, label: int) -> None:
        """Raise a TargetError if the model has no such class."""
        n_classes = self.logits.shape[1]
        if not self.are_all or (label < n_classes and label != self.background):
            return
        first, last = int(self.background == 0), n_classes - 1 - int(self.background == n_classes - 1)
        no_object = "" if self.background is None else f"; {self.background} is the background, no object"
        raise TargetError(
            f"DetectionTarget explains class {label}, but the detector has the classes {first} to {last}{no_object}. "
            "Check the label, or the size of the model's head"
        )

    def score(self, label: int, box: Tensor, min_iou: float) -> Tensor | None:
        """Return the logit of a class at a box: the highest of those that overlap enough; ``None`` where none does."""
        if label >= self.logits.shape[1] or not len(self.boxes):
            return None
        own = self.logits[:, label]
        shares = overlap(self.boxes.detach().to(box), box)
        fits = (shares >= min_iou) & own.isfinite()
        if bool(fits.any()):
            return own[own.detach().masked_fill(~fits, _NONE).argmax()]
        best = shares.argmax()
        return own[best] if self.are_all and bool(shares[best] > 0) else None

    def best(self, label: int | None, min_score: float) -> tuple[Tensor, int] | None:
        """Return the box and the class of the most probable object; ``None`` where none is probable enough.

        Args:
            label: Its class; ``None`` for any.
            min_score: The lowest probability that counts.
        """
        found = self.probabilities.detach()
        if label is not None:
            found = found[:, label : label + 1]
        if not found.numel() or float(found.max()) < min_score:
            return None
        place, column = divmod(int(found.argmax()), found.shape[1])
        return self.boxes[place].detach(), column if label is None else label

    def label_at(self, box: Tensor, min_iou: float) -> int | None:
        """Return the most probable class of what overlaps a box; ``None`` where nothing does."""
        fits = overlap(self.boxes.detach().to(box), box) >= min_iou
        if not self.probabilities.numel() or not bool(fits.any()):
            return None
        found: Tensor = self.probabilities.detach()[fits].amax(dim=0)
        return int(found.argmax())


def are_detections(output: Any) -> bool:
    """Whether an output is one dictionary of boxes, labels and scores a picture, as torchvision's detectors return."""
    return (
        isinstance(output, list | tuple)
        and len(output) > 0
        and all(isinstance(one, Mapping) and {"boxes", "labels", "scores"} <= set(one) for one in output)
    )


def n_query_scores(output: Any) -> int | None:
    """Return how many scores each query of an output has; ``None`` where it has no queries."""
    logits, _ = _queries(output)
    return None if logits is None else logits.shape[-1]


def read_candidates(output: Any, size: tuple[int, ...], *, has_no_object: bool = False) -> list[Candidates]:
    """Return the candidates of each picture of an output.

    Args:
        output: What the model returned.
        size: Height and width of the explained input.
        has_no_object: Whether the last score of each query is that of "no object", and classes exclude each other.

    Raises:
        OutputError: If the output has none.
    """
    if are_detections(output):
        return [_selected(one) for one in output]
    logits, boxes = _queries(output)
    if logits is None or boxes is None:
        raise OutputError(
            f"DetectionTarget needs a detector's output, but the model returned {describe(output)}; expected one "
            "dictionary of boxes, labels and scores per picture (torchvision), or logits [N, queries, classes] and "
            "pred_boxes [N, queries, 4] (DETR). Select it with output_fn=…, in a callback ModelReading(output_fn=…)"
        )
    last = logits.shape[-1] - 1
    probabilities = logits.sigmoid()
    if has_no_object:
        is_object = torch.arange(last + 1, device=logits.device) < last
        probabilities = logits.softmax(dim=-1) * is_object
    places = corners(boxes, size)
    return [
        Candidates(*parts, are_all=True, background=last if has_no_object else None)
        for parts in zip(places, logits, probabilities, strict=True)
    ]


def _queries(output: Any) -> tuple[Tensor | None, Tensor | None]:
    if isinstance(output, Mapping):
        logits, boxes = output.get("logits", output.get("pred_logits")), output.get("pred_boxes")
    else:
        logits, boxes = getattr(output, "logits", None), getattr(output, "pred_boxes", None)
    if not isinstance(logits, Tensor) or not isinstance(boxes, Tensor):
        return None, None
    return (logits, boxes) if logits.ndim == boxes.ndim == 3 and boxes.shape[-1] == 4 else (None, None)


def _selected(found: Mapping[str, Tensor]) -> Candidates:
    boxes, labels, scores = found["boxes"], found["labels"], found["scores"]
    n_classes = int(labels.max()) + 1 if len(labels) else 0
    is_own = torch.arange(n_classes, device=labels.device) == labels[:, None]
    limited = scores.clamp(torch.finfo(scores.dtype).tiny, 1 - torch.finfo(scores.dtype).eps / 2)
    logits = (limited.log() - (-limited).log1p())[:, None]
    return Candidates(
        boxes,
        torch.where(is_own, logits, torch.full_like(logits, _NONE)),
        torch.where(is_own, scores[:, None], torch.zeros_like(logits)),
        are_all=False,
    )
