"""Whether tokens come from the places of the input that they are taken to lie at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from saliency_callbacks.capture.layers.layout import SpatialLayout

__all__ = ["lies_in_place"]

# Of tokens in any other order, half; of patches, all; of what a deep convolutional network puts out, more than this.
_LEAST_SHARE = 0.6


def lies_in_place(run: Callable[[Tensor], Tensor], rows: Tensor, layout: SpatialLayout) -> bool:
    """Return whether the tokens of half of the input are those that change with it, along every dimension.

    Shapes do not tell: tokens that are shuffled, as for masking, read backwards, or column by column, have the same.

    Args:
        run: What is fed ``[1, C, *spatial]`` → tokens that no attention has mixed yet.
        rows: One sample.
        layout: Where the tokens are taken to lie.
    """
    # Changed without a gradient: a first part of the model that records none is seen, too.
    before = _map(run(rows), layout)
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.randn(rows.shape, generator=generator, device="cpu").to(rows) * rows.std()
    dims = [dim for dim in range(2, rows.ndim) if min(rows.shape[dim], before.shape[dim]) > 1]
    changes = ((dim, _map(run(_first_half_changed(rows, noise, dim)), layout) - before) for dim in dims)
    return all(_is_of_first_half(change, dim) for dim, change in changes)


def _first_half_changed(rows: Tensor, noise: Tensor, dim: int) -> Tensor:
    size = rows.shape[dim] // 2
    changed = rows.clone()
    changed.narrow(dim, 0, size).add_(noise.narrow(dim, 0, size))
    return changed


def _is_of_first_half(change: Tensor, dim: int) -> bool:
    """Return whether a change is one of the first half along a dimension; so it is where nothing changes."""
    size, half = change.double().square(), change.shape[dim] // 2
    first, last = size.narrow(dim, 0, half).sum(), size.narrow(dim, size.shape[dim] - half, half).sum()
    return not bool(first < _LEAST_SHARE * (first + last))


def _map(tokens: Tensor, layout: SpatialLayout) -> Tensor:
    # Of one sample, also where the samples come second.
    return layout.to_map(tokens.reshape(1, -1, tokens.shape[-1]))
