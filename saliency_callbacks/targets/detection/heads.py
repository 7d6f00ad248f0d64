"""What the heads of torchvision's detectors say before their output is selected by it."""

from __future__ import annotations

import sys
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
    every place: that of Faster R-CNN, Mask R-CNN and Keypoint R-CNN is asked about the explained box itself, and those
    of RetinaNet, FCOS and SSD have one at each of their anchors.
    """

    def __init__(self) -> None:
        self._ran: _Detector | None = None
        self._configured: nn.Module | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Heads)

    def __hash__(self) -> int:
        return hash(Heads)

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Look into the detectors that a model has inside; what is said is that of the one that runs."""
        self._configured = next((each for each in model.modules() if _n_labels(each) is not None), None)
        try:
            with ExitStack() as stack:
                for each in model.modules():
                    for hook in self._hooks(each):
                        stack.callback(hook.remove)
                yield
        finally:
            self._ran = self._configured = None

    def has_no_object(self, n_scores: int) -> bool | None:
        """Return whether the last score of each query is that of "no object", as far as the configuration tells.

        Args:
            n_scores: How many scores a query has.

        Returns:
            ``None`` where no configuration says so that agrees with the model.
        """
        owner = self._configured
        if owner is None:
            return None
        # A number of labels is made up where they are prompts, as for OWL-ViT.
        if hasattr(owner.config, "text_config") or n_scores == _n_labels(owner):
            return False
        widths = {each.out_features for each in owner.modules() if isinstance(each, nn.Linear)}
        return True if n_scores - 1 == _n_labels(owner) and n_scores in widths else None

    @property
    def is_seen(self) -> bool:
        """Whether the heads of a detector were seen at work."""
        return self._ran is not None

    def candidates(self, boxes: Tensor, size: tuple[int, ...]) -> list[Candidates]:
        """Return what the heads say of each picture that was run last.

        Args:
            boxes: What is asked of each, corners in pixels ``[M, 4]``.
            size: Height and width of the explained input.
        """
        assert self._ran is not None, "asked of what was seen"
        return self._ran.at_boxes(boxes, size) if _has_rois(self._ran.model) else self._ran.at_anchors(size)

    def _hooks(self, model: Any) -> list[Any]:
        found = _Detector(model)

        def seen(module: nn.Module, *said: Any) -> None:
            self._ran = found

        if _has_rois(model):
            hook = model.roi_heads.register_forward_pre_hook
            return [hook(found.see_rois, with_kwargs=True), hook(seen)]
        if _has_anchors(model):
            hook = model.head.register_forward_hook
            return [hook(found.see_head), hook(seen), model.anchor_generator.register_forward_hook(found.see_anchors)]
        return []


class _Detector:
    """A detector, and what its parts were seen to say."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._seen: dict[str, Any] = {}

    def see_rois(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        names = ("features", "proposals", "image_shapes")
        self._seen = {**dict(zip(names, args, strict=False)), **kwargs}

    def see_head(self, module: nn.Module, args: Any, output: Mapping[str, Tensor]) -> None:
        self._seen["head"] = output

    def see_anchors(self, module: nn.Module, args: tuple[Any, ...], output: list[Tensor]) -> None:
        self._seen["anchors"], self._seen["image_shapes"] = output, args[0].image_sizes

    def at_boxes(self, boxes: Tensor, size: tuple[int, ...]) -> list[Candidates]:
        roi, shapes = self.model.roi_heads, self._seen["image_shapes"]
        features: Any = self._seen["features"]
        some = next(iter(features.values()))
        whole = boxes.nan_to_num(0).to(some)
        places = [scaled(box, size, shape)[None] for box, shape in zip(whole, shapes, strict=True)]
        with _unobserved(roi):
            logits, _ = roi.box_predictor(roi.box_head(roi.box_roi_pool(features, places, shapes)))
        probabilities = _without_background(logits.softmax(dim=1))
        return [
            Candidates(box[None], row[None], chance[None], are_all=True, background=0)
            for box, row, chance in zip(whole, logits, probabilities, strict=True)
        ]

    def at_anchors(self, size: tuple[int, ...]) -> list[Candidates]:
        head, coder = self._seen["head"], self.model.box_coder
        decode = getattr(coder, "decode_single", None) or coder.decode
        logits = head["cls_logits"]
        # Only SSD has a background class among its scores.
        has_background = _is_ssd(self.model)
        chances = _without_background(logits.softmax(dim=-1)) if has_background else logits.sigmoid()
        found = zip(logits, chances, head["bbox_regression"], self._seen["anchors"], strict=True)
        background = 0 if has_background else None
        return [
            Candidates(scaled(decode(codes, anchors).detach(), shape, size), row, chance, True, background)
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


def _is_ssd(module: nn.Module) -> bool:
    # Whoever has one has imported it.
    ssd: Any = sys.modules.get("torchvision.models.detection.ssd")
    return ssd is not None and isinstance(module, ssd.SSD)


def _n_labels(module: nn.Module) -> int | None:
    """Return how many labels the configuration of a model of Hugging Face has; ``None`` without one."""
    found = getattr(getattr(module, "config", None), "num_labels", None)
    return found if isinstance(found, int) else None
