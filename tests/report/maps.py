"""Attributions whose hot place is known."""

from __future__ import annotations

import torch

from saliency_callbacks.types import Attribution

SIDE = 16


def attribution(method, values, *, layer=None, reduction="abs_max", size=None):
    reduced = values.abs().amax(1) if reduction == "abs_max" else values.sum(1).abs()
    magnitude = reduced
    if size is not None:
        magnitude = torch.nn.functional.interpolate(reduced[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    count = len(values)
    return Attribution(
        method, values, magnitude, magnitude, torch.zeros(count), torch.zeros(count), layer=layer, reduction=reduction
    )


def hot_maps(count, place, strength=1.0, side=SIDE):
    """Return values ``[count, 3, side, side]`` that are hot in the 4×4 square at ``place`` and faint elsewhere."""
    values = torch.full((count, 3, side, side), 0.02) * strength
    row, column = place
    values[:, :, row : row + 4, column : column + 4] = strength
    return values
