"""Images as they would be had they been stored smaller, or in another aspect ratio."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

__all__ = ["through_smaller", "widened"]


def through_smaller(images: Tensor, factor: float) -> Tensor:
    """Shrink images and enlarge them again, as is done with those that are stored small.

    Args:
        images: ``[N, C, H, W]``.
        factor: Of the height and width; from 1 up the images stay as they are, as nothing makes up lost detail.

    Example:
        >>> import torch
        >>> through_smaller(torch.eye(2)[None, None], 0.5)
        tensor([[[[0.5000, 0.5000],
                  [0.5000, 0.5000]]]])
    """
    if factor >= 1:
        return images
    height, width = images.shape[2:]
    smaller = (max(1, round(height * factor)), max(1, round(width * factor)))
    shrunk = F.interpolate(images, size=smaller, mode="bilinear", antialias=True)
    return F.interpolate(shrunk, size=(height, width), mode="bilinear")


def widened(images: Tensor, factor: float) -> Tensor:
    """Make images wider, and as much lower, and cut or fill them to their size; the edges are repeated.

    Args:
        images: ``[N, C, H, W]``.
        factor: Of the aspect ratio, width over height.

    Example:
        >>> import torch
        >>> widened(torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]]), 4.0)
        tensor([[[[0.7500, 1.0000, 1.0000, 0.7500]]]])
    """
    root = math.sqrt(factor)
    theta = images.new_tensor([[1 / root, 0.0, 0.0], [0.0, root, 0.0]]).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
