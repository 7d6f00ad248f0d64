"""What the heads of torchvision's detectors say before their output is selected by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.targets.detection.candidates import Candidates
from saliency_callbacks.targets.detection.geometry import scaled

__all__ = ["Heads"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class Heads:
    """Looks into a detector while it runs.

    The output of torchvision's detectors holds what is left after thresholds and suppression: of an untrained or
    randomized model nothing at all, and later sometimes not the object that is explained. The heads have a score for
    every place: that of Faster R-CNN, Mask R-CNN and their kin is asked about the explained box itself, and those of
    RetinaNet, FCOS and SSD have one at each of their anchors.
    """

    def __init__(self) -> None:
        self._model: Any = None
        self._seen: dict[str, Any] = {}
        self.n_labels: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Heads)

    def __hash__(self) -> int:
        return hash(Heads)

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Look into the first detector that a model has inside, if it has one."""
        self._model = next((each for each in model.modules() if _has_rois(each) or _has_anchors(each)), None)
        self.n_labels = _n_labels(model)
        try:
            with ExitStack() as stack:
                for hook in self._hooks():
                    stack.callback(hook.remove)
                yield
        finally:
            self._model, self._seen = None, {}

    @property
    def is_seen(self) -> bool:
        """Whether the heads of a detector were seen at work."""
        return bool(self._seen)

    def candidates(self, boxes: Tensor, size: tuple[int, ...]) -> list[Candidates]:
        """Return what the heads say of each picture that was run last.

        Args:
            boxes: What is asked of each, corners in pixels ``[M, 4]``.
            size: Height and width of the explained input.
        """
        return self._at_boxes(boxes, size) if _has_rois(self._model) else self._at_anchors(size)

    def _hooks(self) -> list[Any]:
        if self._model is None:
            return []
        if _has_rois(self._model):
            return [self._model.roi_heads.register_forward_pre_hook(self._see_rois, with_kwargs=True)]
        return [
            self._model.head.register_forward_hook(self._see_head),
            self._model.anchor_generator.register_forward_hook(self._see_anchors),
        ]

    def _see_rois(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        names = ("features", "proposals", "image_shapes")
        self._seen = {**dict(zip(names, args, strict=False)), **kwargs}

    def _see_head(self, module: nn.Module, args: Any, output: Mapping[str, Tensor]) -> None:
        self._seen["head"] = output

    def _see_anchors(self, module: nn.Module, args: tuple[Any, ...], output: list[Tensor]) -> None:
        self._seen["anchors"], self._seen["image_shapes"] = output, args[0].image_sizes

    def _at_boxes(self, boxes: Tensor, size: tuple[int, ...]) -> list[Candidates]:
        roi, shapes = self._model.roi_heads, self._seen["image_shapes"]
        features: Any = self._seen["features"]
        some = next(iter(features.values()))
        whole = boxes.nan_to_num(0).to(some)
        places = [scaled(box, size, shape)[None] for box, shape in zip(whole, shapes, strict=True)]
        with _unobserved(roi):
            logits, _ = roi.box_predictor(roi.box_head(roi.box_roi_pool(features, places, shapes)))
        probabilities = _without_background(logits.softmax(dim=1))
        return [
            Candidates(box[None], row[None], chance[None], are_all=True)
            for box, row, chance in zip(whole, logits, probabilities, strict=True)
        ]

    def _at_anchors(self, size: tuple[int, ...]) -> list[Candidates]:
        head, coder = self._seen["head"], self._model.box_coder
        decode = getattr(coder, "decode_single", None) or coder.decode
        logits = head["cls_logits"]
        # Only SSD has a background class among its scores.
        has_background = type(self._model).__name__.startswith("SSD")
        chances = _without_background(logits.softmax(dim=-1)) if has_background else logits.sigmoid()
        found = zip(logits, chances, head["bbox_regression"], self._seen["anchors"], strict=True)
        return [
            Candidates(scaled(decode(codes, anchors).detach(), shape, size), row, chance, are_all=True)
            for (row, chance, codes, anchors), shape in zip(found, self._seen["image_shapes"], strict=True)
        ]


@contextmanager
def _unobserved(module: nn.Module) -> Iterator[None]:
    """Run parts of a model once more, without those noticing who keeps the outputs of its layers.

    The pooled boxes have a row each, as pictures do, and would be taken for maps of these.
    """
    hooks = [(each, name, getattr(each, name)) for each in module.modules() for name in _HOOKS]
    try:
        for each, name, own in hooks:
            setattr(each, name, type(own)())
        yield
    finally:
        for each, name, own in hooks:
            setattr(each, name, own)


def _has_rois(module: Any) -> bool:
    roi = getattr(module, "roi_heads", None)
    return all(hasattr(roi, name) for name in ("box_roi_pool", "box_head", "box_predictor"))


def _has_anchors(module: Any) -> bool:
    return all(hasattr(module, name) for name in ("head", "anchor_generator", "box_coder", "transform"))


def _without_background(probabilities: Tensor) -> Tensor:
    is_background = torch.arange(probabilities.shape[-1], device=probabilities.device) == 0
    return probabilities.masked_fill(is_background, 0)


def _n_labels(model: nn.Module) -> int | None:
    """Return how many labels the configuration of a model of Hugging Face has; ``None`` without one."""
    found = (getattr(getattr(module, "config", None), "num_labels", None) for module in model.modules())
    return next((each for each in found if isinstance(each, int)), None)
