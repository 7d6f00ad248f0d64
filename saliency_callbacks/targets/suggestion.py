"""Which target explains a model that does not classify, by what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["suggested_target"]


def suggested_target(output: Any) -> str:
    """Return a sentence with the target for an output, where its form tells; empty where it does not."""
    names = _tensor_names(output)
    parts = output if isinstance(output, list | tuple) else ()
    is_detected = bool(parts) and all(isinstance(one, Mapping) and {"boxes", "scores"} <= set(one) for one in parts)
    if is_detected or "pred_boxes" in names:
        return _sentence("a detector", "DetectionTarget('dog')", "DetectionTarget('dog', box='annotation')")
    if names & {"image_embeds", "image_features"}:
        return _sentence(
            "a model of pictures and texts",
            "SimilarityTarget(prompt='a photo of a dog', tokenizer=tokenizer)",
            "SimilarityTarget('text')",
        )
    dense = output.get("out", output.get("logits")) if isinstance(output, Mapping) else output
    dense = dense if isinstance(dense, Tensor) else getattr(output, "logits", None)
    if isinstance(dense, Tensor) and dense.ndim >= 4:
        return _sentence("a segmenter", "SegmentationTarget(1)", "SegmentationTarget('road', 'predicted')")
    return ""


def _sentence(kind: str, *targets: str) -> str:
    return f"It looks like {kind}: give target={' or '.join(targets)} of saliency_callbacks.targets. "


def _tensor_names(output: Any) -> set[str]:
    fields = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
    return {str(name) for name, value in fields.items() if isinstance(value, Tensor)}
