"""From what a user writes for ``target`` to the score that is explained."""

from __future__ import annotations

from saliency_callbacks.targets.similarity import SimilarityTarget

__all__ = ["SimilarityTarget"]
