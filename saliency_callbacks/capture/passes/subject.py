"""What passes are run over: a model, a batch, and the scores that are explained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.attention.observer import ATTENTION, AttentionObserver
from saliency_callbacks.capture.attention.tokens import TokenPositions
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers.calls import CallMaps
from saliency_callbacks.capture.loss_scale import LossScale
from saliency_callbacks.capture.passes.accumulators import Moments
from saliency_callbacks.capture.passes.adaptive import Estimate
from saliency_callbacks.capture.passes.rows import Sampler
from saliency_callbacks.types import Pass, Quantity

__all__ = ["Clean", "Selector", "Subject"]

Selector = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
"""``(model output, sample of each row [M]) -> (score [M], class [M])``."""


class Clean(NamedTuple):
    """Score and class of every sample at the unchanged input, ``[N]`` each, for one target."""

    score: Tensor
    target: Tensor


@dataclass(frozen=True, eq=False)
class Subject:
    """What is explained, and how it is run.

    Args:
        model: The model, quiescent.
        inputs: The batch.
        selectors: One explained score for each target.
        layers: Target layers by name.
        to_map: ``(layer name, output or gradient) -> [N, K, *spatial]``.
        batch_size: Rows that are run at once.
        seed: Seed of all noise.
        forward_context: Opened around every forward, e.g. for autocast.
        backward_context: Opened while gradients are taken, as a checkpointed part of the model runs again then.
        samples: Which samples of the batch are run; all by default.
        loss_scale: Keeps gradients from underflowing in float16; one for all passes.
        calls: ``(layer name, calls in one forward)`` → those that make its map.
        framewise: Returns the names of layers that are given each frame of a video on its own, once they have run.
        on_any_rank: Which samples ``[M]`` need another round → which need one on any rank, where all must run alike.
        is_whole: Whether all samples are run for as long as one needs it: a target counts on it.
        tokens: Where the tokens of an attention lie; ``None`` where no method asks for attention.
        fixed: ``(number of a target, class of each sample)`` → a selector of the score of these classes.
    """

    model: nn.Module
    inputs: ModelInputs
    selectors: Sequence[Selector]
    layers: Mapping[str, nn.Module]
    to_map: Callable[[str, Tensor], Tensor]
    batch_size: int
    seed: int = 0
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    backward_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    samples: range | None = None
    loss_scale: LossScale = field(default_factory=LossScale)
    calls: Callable[[str, int], CallMaps] = field(default=lambda name, n_calls: CallMaps.last_of(n_calls))
    framewise: Callable[[], frozenset[str]] = frozenset
    on_any_rank: Callable[[Tensor], Tensor] = field(default=lambda is_open: is_open)
    is_whole: bool = False
    tokens: TokenPositions | None = None
    fixed: Callable[[int, Tensor], Selector] | None = None

    def scores(self, rows: Tensor, samples: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Run the model on ``rows`` and return score and class of each row for each target."""
        with self.forward_context():
            output = self.inputs.call(self.model, rows, samples)
        return [select(output, samples) for select in self.selectors]

    def scores_of(self, rows: Tensor, samples: Tensor, classes: Sequence[Tensor]) -> list[Tensor]:
        """Run the model on ``rows`` and return the score of each row, for each target of a class that is given."""
        assert self.fixed is not None, "attention is explained with classes that can be fixed"
        with self.forward_context():
            output = self.inputs.call(self.model, rows, samples)
        scores = []
        for number, of_rows in enumerate(classes):
            of_samples = of_rows.new_zeros(self.inputs.n_samples)
            of_samples[samples] = of_rows
            scores.append(self.fixed(number, of_samples)(output, samples)[0])
        return scores

    def observer(self, quantities: Quantity) -> AttentionObserver | None:
        """Return what observes the attention of one forward; ``None`` where that is not wanted."""
        if not quantities & ATTENTION:
            return None
        assert self.tokens is not None, "the engine resolves the tokens of methods that need attention"
        return AttentionObserver(self.model, self.tokens, quantities, getattr(self.inputs, "layer", None))

    @property
    def numbers(self) -> Tensor:
        """Numbers of the samples that are run, ``[M]``."""
        asked = range(self.inputs.n_samples) if self.samples is None else self.samples
        return torch.arange(asked.start, asked.stop, device=self.inputs.explained.device)

    def open_among(self, estimates: Iterable[Estimate]) -> Tensor:
        """Return the numbers of the samples that need another round of a pass, for any target."""
        is_open = self.on_any_rank(torch.stack([estimate.is_open for estimate in estimates]).any(dim=0))
        return self.numbers[is_open.any().expand_as(is_open) if self.is_whole else is_open]

    def sampler(self, pass_: Pass, samples: Tensor | None = None) -> Sampler:
        """Return the rows that ``pass_`` feeds of some samples; by default of all that are run."""
        inputs = self.inputs
        samples = self.numbers if samples is None else samples
        return Sampler(
            inputs.explained, pass_, self.seed, samples=samples, start=inputs.start, positions=inputs.positions
        )

    def for_all_samples(self, values: Tensor) -> Tensor:
        """Return ``values`` of the samples that are run as values ``[N]`` of all; those of the others are 0."""
        if self.samples is None:
            return values
        everyone = values.new_zeros(self.inputs.n_samples)
        everyone[self.samples.start : self.samples.stop] = values
        return everyone

    def moments(self, quantities: Quantity) -> list[Moments]:
        """Return empty sums over the rows of each sample, one for each target."""
        samples = range(self.inputs.n_samples) if self.samples is None else self.samples
        explained = self.inputs.explained[samples.start : samples.stop]
        return [Moments(explained, quantities, samples.start) for _ in self.selectors]
