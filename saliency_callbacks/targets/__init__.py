"""From what a user writes for ``target`` to the score that is explained."""

from __future__ import annotations

from saliency_callbacks.targets.contrast import ContrastTarget
from saliency_callbacks.targets.detection.target import DetectionTarget
from saliency_callbacks.targets.segmentation import SegmentationTarget
from saliency_callbacks.targets.similarity import SimilarityTarget

__all__ = ["ContrastTarget", "DetectionTarget", "SegmentationTarget", "SimilarityTarget"]
