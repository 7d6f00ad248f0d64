"""Attention weights of queries and keys, and gradients with respect to them, a few samples at a time.

A fused attention never has its weights in memory. Here they are computed again, in float32 or better, and each sample's
are reduced over the heads at once: nothing of the size heads x T x S is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["attention_weights", "reduced_attention"]

# Elements of the weights that are computed at once: on a processor few enough for its cache, elsewhere enough to keep
# the device busy.
_AT_ONCE_ON_CPU = 2**16
_AT_ONCE = 2**24

Block = Callable[[slice], Tensor]
"""Samples → their ``[n, heads, T, S]``."""


def attention_weights(
    queries: Tensor, keys: Tensor, mask: Tensor | None = None, *, scale: float, is_causal: bool = False
) -> Tensor:
    """Return softmax(q kᵀ · scale + mask), in float32 or better.

    Args:
        queries: ``[N, heads, T, d]``.
        keys: ``[N, heads, S, d]``.
        mask: Boolean, with ``True`` for what takes part, or added as it is; expands to ``[N, heads, T, S]``.
        scale: Factor of the products.
        is_causal: Whether query t sees the tokens up to t alone.

    Returns:
        ``[N, heads, T, S]``; a query that sees nothing has weights 0.

    Example:
        >>> zeros = torch.zeros(1, 1, 2, 4)
        >>> attention_weights(zeros, zeros, scale=0.5, is_causal=True)
        tensor([[[[1.0000, 0.0000],
                  [0.5000, 0.5000]]]])
    """
    dtype = torch.promote_types(queries.dtype, torch.float32)
    products = torch.matmul(queries.to(dtype) * scale, keys.to(dtype).transpose(-2, -1))
    hides = is_causal or mask is not None
    if is_causal:
        seen = torch.ones(products.shape[-2:], dtype=torch.bool, device=products.device).tril()
        products.masked_fill_(~seen, -torch.inf)
    if mask is not None and mask.dtype == torch.bool:
        products.masked_fill_(~mask, -torch.inf)
    elif mask is not None:
        products += mask.to(dtype)
    weights = torch.softmax(products, dim=-1)
    return weights.nan_to_num_(nan=0.0) if hides else weights


def reduced_attention(
    weights: Block | None, gradients: Block | None, shape: tuple[int, int, int, int], like: Tensor
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Reduce attention weights A and their gradients ∇A over the heads, some samples at a time.

    Args:
        weights: Samples → A; ``None`` where it is not wanted.
        gradients: Samples → ∇A, a tensor that may be overwritten; ``None`` where it is not wanted.
        shape: N, heads, T and S.
        like: A tensor of the device and the type of the results.

    Returns:
        Mean over the heads of A ``[N, T, S]``, mean over the heads of (∇A ⊙ A)⁺ ``[N, T, S]`` and mean over heads and
        queries of (∇A)⁺ ``[N, S]``; ``None`` for what is not wanted.
    """
    n_samples, n_heads, n_queries, n_tokens = shape
    means = like.new_empty(n_samples, n_queries, n_tokens) if weights is not None else None
    relevance = torch.empty_like(means) if means is not None and gradients is not None else None
    sensitivity = like.new_empty(n_samples, n_tokens) if gradients is not None else None
    at_once = _AT_ONCE_ON_CPU if like.device.type == "cpu" else _AT_ONCE
    size = max(1, at_once // max(1, n_heads * n_queries * n_tokens))
    for begin in range(0, n_samples, size):
        rows = slice(begin, min(begin + size, n_samples))
        block = None
        if weights is not None and means is not None:
            block = weights(rows)
            _mean(block.flatten(2), means[rows].flatten(1))
        if gradients is not None and sensitivity is not None:
            # Weights are not negative: (∇A ⊙ A)⁺ = (∇A)⁺ ⊙ A.
            positive = gradients(rows).clamp_min_(0)
            _mean(positive.flatten(1, 2), sensitivity[rows])
            if block is not None and relevance is not None:
                _mean(positive.mul_(block).flatten(2), relevance[rows].flatten(1))
    return means, relevance, sensitivity


def _mean(values: Tensor, out: Tensor) -> None:
    """Write the mean of ``values [n, K, P]`` over K to ``out [n, P]``, in memory."""
    if values.device.type != "cpu":
        # Where products may be taken in less than float32.
        torch.mean(values, dim=1, out=out)
        return
    # Up to twice as fast as a reduction over a dimension in the middle.
    n_values = values.shape[1]
    share = values.new_full((len(values), 1, n_values), 1 / max(1, n_values))
    torch.bmm(share, values, out=out.unsqueeze(1))
