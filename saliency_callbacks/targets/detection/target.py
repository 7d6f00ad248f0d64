"""A target for an object that a detector finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from saliency_callbacks.config.checks import checked_real
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.config.nested import describe, leaves
from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.detection.annotated import annotated
from saliency_callbacks.targets.detection.candidates import Candidates, are_detections, n_query_scores, read_candidates
from saliency_callbacks.targets.detection.heads import Heads
from saliency_callbacks.targets.named import NamedTarget, Samples, checked_label, class_index
from saliency_callbacks.types.outlines import Outlines

__all__ = ["DetectionTarget"]

_BOXES = "None (the detection), 'annotation' (of the data), (x0, y0, x1, y1) in pixels of the input, or one per sample"
_NO_LABEL = -1


@dataclass(frozen=True, eq=False, repr=False)
class DetectionTarget(NamedTarget):
    r"""Explain an object that a detector finds: the logit of its class at its box.

    The box stays where it is for as long as the training runs, and the score of a sample is the logit of the class

    - of the box head (RoI head) at this very box, of torchvision's Faster R-CNN, Mask R-CNN and Keypoint R-CNN;
    - of the anchor or query whose own box overlaps it by at least ``min_iou``, the highest if there are several, and
      if there are none that which overlaps most, of torchvision's RetinaNet, FCOS and SSD, and of models like DETR
      (``logits [N, queries, classes]``, ``pred_boxes [N, queries, 4]``);
    - of other models that return dictionaries of ``boxes``, ``labels`` and ``scores``: log p - log(1 - p) of the
      matched detection.

    So there is a score also where nothing is detected: before the object is learned, and of the random copies of a
    randomization test. Only where nothing overlaps, or no box is known yet, the map is all zero, and a warning says so.
    ``Snapshot.explained`` holds the boxes.

    Args:
        label: The class: an index as the detector counts, or a name that the callback or its data knows. ``None`` for
            the class of the box: that of the annotation, or the most probable one.
        box: Where the object is: ``None`` for the most probable detection, pinned at the first observation that has
            one; ``"annotation"`` for the largest annotated box of the class, from the dictionaries of ``boxes`` and
            ``labels`` that the dataset delivers; or corners ``(x0, y0, x1, y1)`` in pixels of the explained input, for
            all samples or one for each. To see how an object is learned from the start, ``"annotation"`` is best.
        min_iou: Intersection over union from which a box is taken for that of the object.
        min_score: Probability from which a detection counts, where it is pinned.
        background: Whether the last score of each query of a model like DETR is that of "no object"; by default what
            its configuration says, and that there is none if that says nothing.

    Raises:
        TargetError: If there is no such class, if it is the background, or a box is empty or not inside of the input.

    Reference:
        Petsiuk et al. 2021, arXiv 2006.03204 (D-RISE: explanations of single detections).

    Example:
        >>> from saliency_callbacks import SaliencyMonitor
        >>> target = DetectionTarget("dog", box="annotation")
        >>> monitor = SaliencyMonitor(["gradient", "grad_cam"], target=target)
        >>> target
        DetectionTarget(label='dog', box='annotation')
    """

    label: int | str | None = None
    box: str | Sequence[Any] | Tensor | None = None
    min_iou: float = 0.5
    min_score: float = 0.5
    background: bool | None = None

    def __post_init__(self) -> None:
        if self.label is not None:
            checked_label("label", self.label)
        for name in ("min_iou", "min_score"):
            checked_real(name, getattr(self, name), at_least=0, at_most=1, error=TargetError)
        given = plain(self.box)
        if given is not None and not (isinstance(given, str) and given == "annotation"):
            object.__setattr__(self, "box", _checked_boxes(given))

    @override
    def of(self, samples: Samples) -> NamedTarget:
        label = None if self.label is None else class_index("label", self.label, samples)
        boxes = torch.full((samples.n_samples, 4), torch.nan)
        labels = torch.full((samples.n_samples,), _NO_LABEL if label is None else label)
        if isinstance(self.box, Tensor):
            _check_inside(self.box, samples)
            boxes = self.box.expand(samples.n_samples, 4)
        elif self.box is not None:
            boxes, labels = annotated(samples, label)
        size = _checked_size(samples.size)
        may_find = self.box is None
        is_sought = may_find or (label is None and isinstance(self.box, Tensor))
        return _Detection(boxes, labels, size, self.min_iou, self.min_score, may_find, is_sought, self.background)

    @override
    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        raise TargetError(
            "DetectionTarget needs the size of the input; expected to be given to `explain` or a callback"
        )


@dataclass(frozen=True, eq=False, repr=False)
class _Detection(NamedTarget):
    """Objects, one in each sample.

    Args:
        boxes: Corners ``[N, 4]``, NaN where they are not known.
        labels: Classes ``[N]``, -1 where they are not known.
        size: Height and width of the explained input.
        min_iou: As of the target.
        min_score: As well.
        may_find: Whether boxes are those that are detected.
        is_sought: Whether boxes or classes are looked up in the model's answer.
        background: As of the target.
        heads: What is seen of the model while it runs.
    """

    boxes: Tensor
    labels: Tensor
    size: tuple[int, ...]
    min_iou: float
    min_score: float
    may_find: bool
    is_sought: bool
    background: bool | None = None
    heads: Heads = field(default_factory=Heads, init=False)

    @property
    @override
    def needs_pins(self) -> bool:
        is_placed = ~self.boxes.isnan().any(dim=1)
        return bool((is_placed & (self.labels < 0)).any()) or (self.may_find and not bool(is_placed.all()))

    @property
    @override
    def kept(self) -> dict[str, Tensor]:
        return {"boxes": self.boxes, "labels": self.labels} if self.is_sought else {}

    @override
    def watching(self, model: nn.Module) -> AbstractContextManager[None]:
        return self.heads.watching(model)

    @override
    def pins_of(self, output: Any, samples: Tensor) -> dict[str, Tensor]:
        boxes, labels = self.boxes[samples.cpu()], self.labels[samples.cpu()].clone()
        boxes = boxes.clone()
        # What is detected is what the model has selected; what it says of a box that is given, its heads know.
        if bool((labels < 0).any()):
            self._check_tells_classes(output)
        detected, asked = self._read(output), self._candidates(output, boxes, labels)
        for row, (own, other) in enumerate(zip(detected, asked, strict=True)):
            if bool(boxes[row].isnan().any()):
                found = own.best(int(labels[row]) if labels[row] >= 0 else None, self.min_score)
                if found is not None and self.may_find:
                    boxes[row], labels[row] = found[0].to(boxes), found[1]
            elif labels[row] < 0:
                label = other.label_at(boxes[row].to(other.boxes), self.min_iou)
                labels[row] = _NO_LABEL if label is None else label
        return {"boxes": boxes, "labels": labels}

    @override
    def pinned(self, pins: Mapping[str, Tensor]) -> NamedTarget:
        if not self.needs_pins or not {"boxes", "labels"} <= pins.keys() or len(pins["boxes"]) != len(self.boxes):
            return self
        is_open = self.boxes.isnan().any(dim=1)
        boxes = torch.where(is_open[:, None], pins["boxes"].to(self.boxes), self.boxes)
        labels = torch.where(self.labels < 0, pins["labels"], self.labels)
        return replace(self, boxes=boxes, labels=labels)

    @override
    def reaching(self, output: Any, samples: Tensor) -> Tensor:
        found = self._candidates(output, self.boxes[samples.cpu()], self.labels[samples.cpu()])
        own = torch.stack([one.logits.masked_fill(~one.logits.isfinite(), 0).sum() for one in found])
        return self(output, samples) + own

    @override
    def outlines(self, samples: Samples) -> Outlines | None:
        names = samples.class_names or ()
        called = [str(names[label]) if 0 <= label < len(names) else str(label) for label in self.labels.tolist()]
        return Outlines(boxes=self.boxes, names=tuple("" if name == "-1" else name for name in called))

    @override
    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        boxes, labels = self.boxes[samples.cpu()], self.labels[samples.cpu()]
        scores = []
        for box, label, one in zip(boxes, labels.tolist(), self._candidates(output, boxes, labels), strict=True):
            is_known = label >= 0 and not bool(box.isnan().any())
            found = one.score(label, box.to(one.boxes), self.min_iou) if is_known else None
            # A sample without one still has a place in the sum that gradients are taken of.
            scores.append(_nothing(output) if found is None else found)
        return torch.stack(scores)

    def _candidates(self, output: Any, boxes: Tensor, labels: Tensor) -> list[Candidates]:
        is_seen = self.heads.is_seen and are_detections(output)
        found = self.heads.candidates(boxes, self.size) if is_seen else self._read(output)
        for one, label in zip(found, labels.tolist(), strict=True):
            if label >= 0:
                one.check(label)
        return found

    def _read(self, output: Any) -> list[Candidates]:
        return read_candidates(output, self.size, has_no_object=self._has_no_object(output) is True)

    def _has_no_object(self, output: Any) -> bool | None:
        n_scores = n_query_scores(output)
        if n_scores is None or self.background is not None:
            return self.background
        return self.heads.has_no_object(n_scores)

    def _check_tells_classes(self, output: Any) -> None:
        n_scores = n_query_scores(output)
        if n_scores is not None and self._has_no_object(output) is None:
            raise TargetError(
                f"the model has {n_scores} scores for each query, and no configuration that says whether the last is "
                "that of 'no object', so that the most probable class is not known; expected "
                "DetectionTarget(background=True) if it is, background=False if it is a class, or a label"
            )


def _checked_size(size: tuple[int, ...] | None) -> tuple[int, ...]:
    if size is None or len(size) != 2:
        raise TargetError(f"DetectionTarget explains pictures, but the inputs have the size {size}; expected [H, W]")
    return size


def _nothing(output: Any) -> Tensor:
    """Return a zero that depends on an output, with a gradient of zero."""
    parts = [one for _, one in leaves(_plain(output)) if isinstance(one, Tensor) and one.is_floating_point()]
    return torch.stack([(0 * part.nan_to_num()).sum() for part in parts]).sum()


def _plain(output: Any) -> Any:
    return output if isinstance(output, Mapping | list | tuple) else vars(output)


def _checked_boxes(given: Any) -> Tensor:
    try:
        boxes = given.detach().cpu().float() if isinstance(given, Tensor) else torch.tensor(given, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetError(f"box={given!r}; expected {_BOXES}") from error
    if boxes.ndim not in (1, 2) or boxes.shape[-1] != 4:
        raise TargetError(f"box is {describe(given)}; expected {_BOXES}")
    rows = boxes.reshape(-1, 4)
    wrong = rows[~((rows[:, 2:] > rows[:, :2]).all(dim=1) & rows.isfinite().all(dim=1))]
    if len(wrong):
        raise TargetError(
            f"box {wrong[0].tolist()} is empty; expected corners (x0, y0, x1, y1) with x0 < x1 and y0 < y1. Boxes with "
            "width and height are converted with torchvision.ops.box_convert(boxes, 'xywh', 'xyxy')"
        )
    return boxes


def _check_inside(boxes: Tensor, samples: Samples) -> None:
    if boxes.ndim == 2 and len(boxes) not in (1, samples.n_samples):
        raise TargetError(f"box has {len(boxes)} rows for {samples.n_samples} samples; expected one, or one for each")
    if samples.size is None or len(samples.size) != 2:
        return
    height, width = samples.size
    rows = boxes.reshape(-1, 4)
    wrong = rows[((rows[:, :2] < -1) | (rows[:, 2:] > rows.new_tensor([width + 1, height + 1]))).any(dim=1)]
    if len(wrong):
        raise TargetError(
            f"box {wrong[0].tolist()} is not inside of the input, which is {width} wide and {height} high; expected "
            f"corners (x0, y0, x1, y1) in its pixels, from 0 to {width} and {height}"
        )
