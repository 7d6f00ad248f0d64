"""One forward with its attention: what is differentiated by, and what is made of the gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.attention.blocks import BlockRecorder
from saliency_callbacks.capture.attention.calls import AttentionCall
from saliency_callbacks.capture.attention.chain import chained
from saliency_callbacks.capture.attention.own_scores import own_gradients
from saliency_callbacks.capture.attention.recorder import AttentionRecorder
from saliency_callbacks.capture.attention.tokens import TokenPositions
from saliency_callbacks.capture.isolation.full_precision import without_autocast
from saliency_callbacks.capture.loss_scale import LossScale
from saliency_callbacks.errors import LayerError
from saliency_callbacks.functional.attention.weights import reduced_attention
from saliency_callbacks.types import AttentionEvidence, Quantity

__all__ = ["ATTENTION", "AttentionObserver"]

ATTENTION = Quantity.ATTENTION | Quantity.ATTENTION_GRADIENT | Quantity.OWN_ATTENTION_GRADIENT


class AttentionObserver:
    """Observe the attention of one forward.

    Args:
        model: What runs.
        tokens: Where its tokens lie.
        quantities: What is wanted.
        kept: A module that has to run whenever the model does.
    """

    def __init__(
        self, model: nn.Module, tokens: TokenPositions, quantities: Quantity, kept: nn.Module | None = None
    ) -> None:
        self.model = model
        self.tokens = tokens
        self.quantities = quantities
        self.recorder = AttentionRecorder()
        self._blocks = BlockRecorder(model, self.recorder, kept)
        self._chain: Sequence[AttentionCall] = ()
        self._own: Sequence[Sequence[Tensor]] = ()
        self._n_rows = 0

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Open this around the forward."""
        with ExitStack() as stack:
            stack.enter_context(self.recorder)
            if Quantity.OWN_ATTENTION_GRADIENT in self.quantities:
                stack.enter_context(self._blocks)
            yield

    def settle(self, rows: Tensor, score: Tensor) -> None:
        """Find the attentions between the input and the score, and where their tokens lie.

        Args:
            rows: What was fed, ``[M, …]``, in the graph.
            score: The first of the explained scores ``[M]``.
        """
        self._n_rows = len(rows)
        self._chain = chained(self.recorder, self.model, rows, score)
        sizes = [call.sizes(self._n_rows) for call in self._chain]
        for (_, _, before, _), (_, _, _, attended) in pairwise(sizes):
            if before != attended:
                raise LayerError(
                    f"attention of {type(self.model).__name__} puts out {before} tokens, and the next one attends to "
                    f"{attended}: tokens are merged, dropped or added in between; expected the same ones. Use methods "
                    "that need no attention, e.g. 'gradient' or 'grad_cam'"
                )
        self.tokens.of(sizes[0][3], self.recorder.calls.index(self._chain[0]) + 1)

    def differentiate_own(
        self, scores: Sequence[Tensor], run: Callable[[], list[Tensor]], counted: Tensor | None, loss_scale: LossScale
    ) -> None:
        """Take the gradients of the layers' own scores, where they are wanted, before those of the model's."""
        self._own = own_gradients(self._blocks, self._chain, scores, run, counted=counted, loss_scale=loss_scale)

    @property
    def outputs(self) -> list[Tensor]:
        """What the score is differentiated by; where gradients are not wanted, it is only to tell what is read out."""
        calls = self._chain if Quantity.ATTENTION_GRADIENT in self.quantities else self._chain[-1:]
        return [call.output for call in calls]

    def evidence(self, number: int, gradients: Sequence[Tensor | None]) -> AttentionEvidence:
        """Return what was measured for one target.

        Args:
            number: Which of the targets.
            gradients: Those with respect to :attr:`outputs`; ``None`` for zeros.
        """
        with torch.no_grad(), without_autocast(self._chain[0].output.device.type):
            return self._evidence(number, gradients)

    def _evidence(self, number: int, gradients: Sequence[Tensor | None]) -> AttentionEvidence:
        padded = [*[None] * (len(self._chain) - len(gradients)), *gradients]
        reduced = [self._reduced(call, one) for call, one in zip(self._chain, padded, strict=True)]
        has_gradient = Quantity.ATTENTION_GRADIENT in self.quantities
        return AttentionEvidence(
            readout=self._readout(gradients[-1]),
            positions=self.tokens.of(self._chain[0].shape[-1]),
            weights=_known([one[0] for one in reduced]) if Quantity.ATTENTION in self.quantities else (),
            relevance=_known([one[1] for one in reduced]) if has_gradient else (),
            sensitivity=_known([one[2] for one in reduced]) if has_gradient else (),
            own_sensitivity=self._own_sensitivity(number),
        )

    def _reduced(
        self, call: AttentionCall, gradient: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        if not self.quantities & (Quantity.ATTENTION | Quantity.ATTENTION_GRADIENT):
            return None, None, None
        gradients = None
        if Quantity.ATTENTION_GRADIENT in self.quantities:
            given = torch.zeros_like(call.output) if gradient is None else gradient
            gradients = call.gradients(given, self._n_rows)
        return reduced_attention(
            call.weights(self._n_rows), gradients, call.sizes(self._n_rows), like=_like(call.output)
        )

    def _own_sensitivity(self, number: int) -> tuple[Tensor, ...]:
        if not self._own:
            return ()
        found = [
            reduced_attention(
                None, call.gradients(gradient, self._n_rows), call.sizes(self._n_rows), like=_like(call.output)
            )[2]
            for call, gradient in zip(self._chain, self._own[number], strict=True)
        ]
        return _known(found)

    def _readout(self, gradient: Tensor | None) -> Tensor:
        """Return the share of each query ``[M, T]``, the same for all that the score depends on."""
        last = self._chain[-1]
        n_rows, _, n_queries, _ = last.sizes(self._n_rows)
        is_read = torch.zeros(n_rows, n_queries, dtype=torch.bool, device=last.output.device)
        if gradient is not None:
            is_read = gradient.reshape(n_rows, -1, n_queries, gradient.shape[-1]).ne(0).any(dim=3).any(dim=1)
        if not bool(is_read.any(dim=1).all()):
            is_read = torch.where(is_read.any(dim=1, keepdim=True), is_read, self.tokens.usual_readout)
        share = is_read.to(_like(last.output).dtype)
        return share / share.sum(dim=1, keepdim=True).clamp_min(1)


def _like(output: Tensor) -> Tensor:
    return output.new_empty(0, dtype=torch.promote_types(output.dtype, torch.float32))


def _known(found: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    return tuple(one for one in found if one is not None)
