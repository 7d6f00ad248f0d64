"""One call of an attention: its weights, and the gradient of a score with respect to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd.graph import Node

from saliency_callbacks.capture.layers.dataflow import node_of
from saliency_callbacks.errors import LayerError
from saliency_callbacks.functional.attention.weights import Block, attention_weights

__all__ = ["AttentionCall", "ExplicitCall", "FusedCall"]


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """What one call of an attention computed.

    Args:
        output: What the score is differentiated by.
        queries: Where the queries come from, in the graph; ``None`` where they have no gradient.
        keys: Where the keys come from.
        result: What the attention puts out, in the graph.
        shape: Shape of its weights.
        n_samples: How many samples the rows ``[N · heads, T, S]`` are of, one after the other; ``None`` where neither
            their number nor their order is known.
    """

    output: Tensor
    queries: Node | None
    keys: Node | None
    result: Node | None
    shape: tuple[int, ...]
    n_samples: int | None = field(default=None, kw_only=True)

    def has_unknown_order(self, n_rows: int) -> bool:
        """Return whether its rows may be those of each head one after the other, rather than those of each sample."""
        return len(self.shape) == 3 and self.n_samples is None and self.shape[0] > n_rows > 1

    def sizes(self, n_rows: int) -> tuple[int, int, int, int]:
        """Return N, heads, T and S.

        Raises:
            LayerError: If the rows of the weights are not the samples.
        """
        *leading, n_queries, n_tokens = self.shape
        n_leading = math.prod(leading)
        n_samples = leading[0] if len(leading) == 2 else self.n_samples or n_rows
        if len(leading) > 2 or not leading or n_leading % n_rows or n_samples != n_rows:
            raise LayerError(
                f"an attention has weights {list(self.shape)} for {n_rows} samples; expected [N, heads, T, S] or "
                "[N · heads, T, S] over all tokens of a sample. Attention within windows, axes or frames (Swin, "
                "divided space and time) has no row for the whole input. Use methods that need no attention, e.g. "
                "'gradient' or 'grad_cam'"
            )
        return n_rows, n_leading // n_rows, n_queries, n_tokens

    def weights(self, n_rows: int) -> Block:
        """Return samples → weights ``[n, heads, T, S]`` in float32 or better, to read only."""
        raise NotImplementedError

    def gradients(self, gradient: Tensor, n_rows: int) -> Block:
        """Return samples → gradient with respect to the weights, a new tensor ``[n, heads, T, S]``.

        Args:
            gradient: Gradient with respect to ``output``.
            n_rows: Number of samples.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class ExplicitCall(AttentionCall):
    """An attention whose weights are a tensor of the graph, ``output`` here."""

    def weights(self, n_rows: int) -> Block:
        """Return the weights themselves."""
        whole = self.output.detach().reshape(self.sizes(n_rows))
        return lambda rows: whole[rows].to(_wide(whole.dtype))

    def gradients(self, gradient: Tensor, n_rows: int) -> Block:
        """Return the gradient itself."""
        whole = gradient.reshape(self.sizes(n_rows))
        return lambda rows: whole[rows].to(_wide(whole.dtype), copy=True)

    @classmethod
    def of(cls, weights: Tensor, factors: tuple[Node | None, Node | None], result: Tensor) -> ExplicitCall:
        """Return the call with these weights, of which the product with the values is ``result``."""
        return cls(weights, *factors, _node(result), tuple(weights.shape))


@dataclass(frozen=True, eq=False)
class FusedCall(AttentionCall):
    """An attention that is one function of queries, keys and values; its weights are computed aside.

    With the output O = A V, the gradient with respect to the weights is ∂s/∂A = (∂s/∂O) Vᵀ.

    Args:
        query: ``[…, T, d]``.
        key: ``[…, S, d]``.
        value: ``[…, S, d_v]``.
        mask: Boolean or added; ``None`` for none.
        is_causal: Whether a query sees only what comes before it.
        scale: Factor of the products; ``None`` for 1/√d.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    is_causal: bool
    scale: float | None

    def weights(self, n_rows: int) -> Block:
        """Return the weights, computed again."""
        n_samples, n_heads, n_queries, n_tokens = self.sizes(n_rows)
        query, key = _by_head(self.query, n_samples, n_heads), _by_head(self.key, n_samples, n_heads)
        mask = self.mask
        if mask is not None:
            mask = mask.expand(self.shape).reshape(n_samples, n_heads, n_queries, n_tokens)
        scale = self.query.shape[-1] ** -0.5 if self.scale is None else self.scale

        def of(rows: slice) -> Tensor:
            part = None if mask is None else mask[rows]
            return attention_weights(query[rows], key[rows], part, scale=scale, is_causal=self.is_causal)

        return of

    def gradients(self, gradient: Tensor, n_rows: int) -> Block:
        """Return (∂s/∂O) Vᵀ."""
        n_samples, n_heads, _, _ = self.sizes(n_rows)
        gradient, value = _by_head(gradient, n_samples, n_heads), _by_head(self.value, n_samples, n_heads)
        dtype = _wide(torch.promote_types(gradient.dtype, value.dtype))

        def of(rows: slice) -> Tensor:
            return torch.matmul(gradient[rows].to(dtype), value[rows].to(dtype).transpose(-2, -1))

        return of

    @classmethod
    def of(cls, call: FusedArguments, output: Tensor) -> FusedCall:
        """Return the call of ``scaled_dot_product_attention`` that put out ``output``."""
        query, key, value = call.query, call.key, call.value
        nodes = (_node(query), _node(key))
        shape = (*output.shape[:-1], key.shape[-2])
        query, key, value = query.detach(), key.detach(), value.detach()
        if key.ndim > 2 and key.shape[-3] != query.shape[-3]:
            repeats = query.shape[-3] // key.shape[-3]
            key, value = (each.repeat_interleave(repeats, dim=-3) for each in (key, value))
        mask = None if call.attn_mask is None else call.attn_mask.detach()
        return cls(output, *nodes, _node(output), shape, query, key, value, mask, call.is_causal, call.scale)


@dataclass(frozen=True, eq=False)
class FusedArguments:
    """Arguments of ``torch.nn.functional.scaled_dot_product_attention``, by its own names."""

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False


def _by_head(tensor: Tensor, n_samples: int, n_heads: int) -> Tensor:
    return tensor.reshape(n_samples, n_heads, *tensor.shape[-2:])


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _node(tensor: Tensor) -> Node | None:
    return node_of(tensor) if tensor.requires_grad else None
