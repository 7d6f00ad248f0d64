"""What one pass measured of a model's attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["AttentionEvidence"]


@dataclass(frozen=True, eq=False)
class AttentionEvidence:
    """The attention of every layer, in execution order, reduced over its heads; what no method asked for is empty.

    With attention weights A ``[N, heads, T, S]`` (T queries, S tokens) and ∇A the gradient of the score with respect to
    them. Of a layer, only what is reduced over the heads is kept.

    Args:
        weights: Mean over the heads of A, ``[N, T, S]`` each.
        relevance: Mean over the heads of (∇A ⊙ A)⁺, ``[N, T, S]`` each.
        sensitivity: Mean over heads and queries of (∇A)⁺, ``[N, S]`` each.
        own_sensitivity: The same of the gradient of each layer's own score, which the model's head gives its tokens.
        readout: Share of each query of the last layer in what the score is computed from, ``[N, T]``: all on the class
            token, or the same for all patches that are pooled.
        positions: Number of the token at each place of the input, ``[*spatial]``.

    Example:
        >>> import torch
        >>> attention = torch.full((1, 5, 5), 0.2)
        >>> readout, positions = torch.eye(5)[:1], torch.arange(1, 5).reshape(2, 2)
        >>> evidence = AttentionEvidence(weights=(attention,), readout=readout, positions=positions)
        >>> evidence.to_map(attention[:, 0]).shape
        torch.Size([1, 1, 2, 2])
    """

    readout: Tensor
    positions: Tensor
    weights: tuple[Tensor, ...] = ()
    relevance: tuple[Tensor, ...] = ()
    sensitivity: tuple[Tensor, ...] = ()
    own_sensitivity: tuple[Tensor, ...] = ()

    def to_map(self, tokens: Tensor) -> Tensor:
        """Return one value a token, ``[N, S]``, as a map ``[N, 1, *spatial]``."""
        return tokens[:, self.positions.reshape(-1)].reshape(len(tokens), 1, *self.positions.shape)

    @classmethod
    def joined(cls, chunks: Sequence[AttentionEvidence]) -> AttentionEvidence | None:
        """Return what was measured of all samples, from what was measured of some at a time."""
        if len(chunks) <= 1:
            return chunks[0] if chunks else None
        return cls(
            readout=torch.cat([chunk.readout for chunk in chunks]),
            positions=chunks[0].positions,
            weights=_joined([chunk.weights for chunk in chunks]),
            relevance=_joined([chunk.relevance for chunk in chunks]),
            sensitivity=_joined([chunk.sensitivity for chunk in chunks]),
            own_sensitivity=_joined([chunk.own_sensitivity for chunk in chunks]),
        )


def _joined(chunks: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(layer) for layer in zip(*chunks, strict=True))
