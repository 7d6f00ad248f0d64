"""Running sums over the rows of a pass; their size does not depend on how many rows there are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from saliency_callbacks.capture.passes.rows import Rows
from saliency_callbacks.types import AttentionEvidence, Evidence, Quantity

__all__ = ["Moments"]


class Moments:
    """Weighted sums, for each sample, of what its rows measured.

    Args:
        inputs: The explained input ``[N, C, *spatial]`` of the samples that are run.
        quantities: Which sums are kept.
        first: Number of the first of these samples.
    """

    def __init__(self, inputs: Tensor, quantities: Quantity, first: int = 0) -> None:
        self.inputs = inputs
        self.first = first
        self.quantities = quantities
        # A variance is a small difference of large sums; MPS has no float64.
        exact = Quantity.GRADIENT_SQUARE in quantities and inputs.device.type != "mps"
        self.dtype = torch.promote_types(inputs.dtype, torch.float64 if exact else torch.float32)
        self.score = torch.zeros(inputs.shape[0], dtype=torch.float64 if exact else self.dtype, device=inputs.device)
        self.target = torch.full((inputs.shape[0],), -1, dtype=torch.int64, device=inputs.device)
        self.sums: dict[Quantity, Tensor] = {}
        self._buffer: Tensor | None = None
        self.activations: dict[str, list[Tensor]] = {}
        self.activation_gradients: dict[str, list[Tensor]] = {}
        self.attention: list[AttentionEvidence] = []

    def add(
        self,
        rows: Rows,
        score: Tensor,
        target: Tensor,
        gradient: Tensor | None = None,
        activations: Mapping[str, Tensor] | None = None,
        activation_gradients: Mapping[str, Tensor] | None = None,
        *,
        attention: AttentionEvidence | None = None,
    ) -> None:
        """Add one chunk; every tensor has the rows of ``rows``."""
        positions = rows.samples - self.first
        self.score.index_add_(0, positions, (score * rows.weights).to(self.score))
        self.target[positions] = target.to(self.target)
        if gradient is not None:
            self._add_gradient(rows, positions, gradient.to(self.dtype))
        for kept, new in ((self.activations, activations), (self.activation_gradients, activation_gradients)):
            for name, value in (new or {}).items():
                kept.setdefault(name, []).append(value)
        if attention is not None:
            self.attention.append(attention)

    def _add_gradient(self, rows: Rows, positions: Tensor, gradient: Tensor) -> None:
        weights = rows.weights.to(self.dtype).reshape(-1, *[1] * (gradient.ndim - 1))
        if Quantity.GRADIENT in self.quantities:
            self._sum(Quantity.GRADIENT).index_add_(0, positions, self._product(gradient, weights))
        if Quantity.GRADIENT_SQUARE in self.quantities:
            squares = self._product(gradient, gradient).mul_(weights)
            self._sum(Quantity.GRADIENT_SQUARE).index_add_(0, positions, squares)
        if Quantity.PATH_INTEGRAL in self.quantities and rows.displacement is not None:
            parts = self._product(gradient, rows.displacement).mul_(weights)
            self._sum(Quantity.PATH_INTEGRAL).index_add_(0, positions, parts)

    def _product(self, gradient: Tensor, factor: Tensor) -> Tensor:
        # In one buffer for all chunks: fresh memory costs as much as the product itself.
        if self._buffer is None or self._buffer.shape != gradient.shape:
            # Embeddings have their channels last in memory, and so have their gradients.
            layout = torch.contiguous_format if self.inputs.is_contiguous() else torch.preserve_format
            self._buffer = torch.empty_like(gradient, memory_format=layout)
        return torch.mul(gradient, factor, out=self._buffer)

    def _sum(self, quantity: Quantity) -> Tensor:
        if quantity not in self.sums:
            self.sums[quantity] = torch.zeros_like(self.inputs, dtype=self.dtype)
        return self.sums[quantity]

    def evidence(self) -> Evidence:
        """Return what was measured; layers are kept only by point passes, whose rows are the samples in order."""
        return Evidence(
            inputs=self.inputs,
            target=self.target,
            score=self.score.to(torch.promote_types(self.inputs.dtype, torch.float32)),
            gradient=self.sums.get(Quantity.GRADIENT),
            gradient_square=self.sums.get(Quantity.GRADIENT_SQUARE),
            path_integral=self.sums.get(Quantity.PATH_INTEGRAL),
            activations=_joined(self.activations),
            activation_gradients=_joined(self.activation_gradients),
            attention=AttentionEvidence.joined(self.attention),
        )


def _joined(chunks: Mapping[str, list[Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat(values) if len(values) > 1 else values[0] for name, values in chunks.items()}
