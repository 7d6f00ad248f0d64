"""Boxes as corners ``(x0, y0, x1, y1)``."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["corners", "overlap", "scaled"]


def overlap(boxes: Tensor, box: Tensor) -> Tensor:
    """Return the intersection over union of each of ``boxes [K, 4]`` with one ``box [4]``, ``[K]``."""
    low, high = torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
    whole = areas + (box[2:] - box[:2]).clamp(min=0).prod() - shared
    return shared / whole.clamp(min=torch.finfo(boxes.dtype).tiny)


def corners(boxes: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return boxes ``(x, y, width, height)`` around a center, as shares of a picture, as corners in its pixels.

    Args:
        boxes: ``[..., 4]``.
        size: Height and width of the picture.
    """
    center, extent = boxes[..., :2], boxes[..., 2:]
    return scaled(torch.cat([center - extent / 2, center + extent / 2], dim=-1), (1, 1), size)


def scaled(boxes: Tensor, size: tuple[int, ...], to: tuple[int, ...]) -> Tensor:
    """Return boxes of a picture of one size, in pixels of the same picture of another.

    Args:
        boxes: Corners ``[..., 4]``.
        size: Height and width of the picture that they are in.
        to: Height and width of the other.
    """
    by_y, by_x = (new / old for old, new in zip(size, to, strict=True))
    return boxes * boxes.new_tensor([by_x, by_y, by_x, by_y])
