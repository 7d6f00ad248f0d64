"""What the methods of attention need of a run: where tokens lie, and the score of classes that are settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from saliency_callbacks.capture.attention.tokens import TokenPositions
from saliency_callbacks.capture.passes.run import Selector, Subject
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.wants import needs_attention
from saliency_callbacks.targets.selectors import Target, class_selector, selector
from saliency_callbacks.targets.similarity import SimilarityTarget

__all__ = ["attending"]


def attending(subject: Subject, settings: Settings, targets: Sequence[Target]) -> Subject:
    """Return a subject whose attention can be explained, if any method asks for that.

    Args:
        subject: What is explained.
        settings: How it is explained.
        targets: The explained scores, as many as the subject has selectors.
    """
    if not needs_attention(settings.methods):
        return subject
    reaching, first = subject.selectors[0], targets[0]
    if isinstance(first, SimilarityTarget):
        # The similarity of an embedding to itself may have no gradient, though it depends on the same tokens.
        reaching = selector(first.reaching, subject.inputs.n_samples, settings.output_fn)

    def score(output: Any, samples: Tensor) -> Tensor:
        return reaching(output, samples)[0]

    def fixed(number: int, classes: Tensor) -> Selector:
        if isinstance(targets[number], str):
            return class_selector(classes, settings.output_fn)
        return subject.selectors[number]

    tokens = TokenPositions(subject.model, subject.inputs, score, settings.reshape_transform, settings.forward_context)
    return replace(subject, tokens=tokens, fixed=fixed)
