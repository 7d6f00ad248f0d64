"""Finding a small piece of an image in other images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.errors import ConfigurationError

__all__ = ["Matches", "best_matches", "matches_near"]

_MOST_VALUES = 2**19
"""Distances that are held at once, 2 MiB: what fits into a processor's cache is faster."""


class Matches(NamedTuple):
    """Where templates fit images best.

    Args:
        distance: Root of the mean squared difference there, over channels and pixels, ``[T, N]``.
        top: First row of the best place, ``int64 [T, N]``.
        left: First column of it, ``int64 [T, N]``.
    """

    distance: Tensor
    top: Tensor
    left: Tensor


def best_matches(images: Tensor, templates: Tensor) -> Matches:
    r"""Find the best place of each template in each image.

    .. math:: D(t, x) = \min_p \sqrt{\frac{1}{C h w} \sum_{c, u} (t_{c u} - x_{c, p + u})^2}

    The squares are expanded, so that one convolution gives the distances of all places.

    Args:
        images: ``[N, C, H, W]``.
        templates: ``[T, C, h, w]``, no larger than the images.

    Raises:
        ConfigurationError: If the shapes do not fit.

    Example:
        >>> found = best_matches(torch.eye(3)[None, None], torch.ones(1, 1, 1, 1))
        >>> found.distance.item(), found.top.item(), found.left.item()
        (0.0, 0, 0)
    """
    _require_fitting(images, templates)
    if not len(templates) or not len(images):
        nothing = images.new_zeros(len(templates), len(images))
        return Matches(nothing, nothing.long(), nothing.long())
    size = templates[0].numel()
    height, width = templates.shape[2:]
    # About a common center the squares are small, and so is their rounding.
    center = images.mean()
    centered, own = images - center, templates - center
    windows = F.conv2d(centered.square().sum(dim=1, keepdim=True), images.new_ones(1, 1, height, width))
    places = windows[0].numel()
    chunk = max(1, _MOST_VALUES // (places * max(1, len(templates))))
    found = [
        _best(part, own, square, size) for part, square in zip(centered.split(chunk), windows.split(chunk), strict=True)
    ]
    columns = windows.shape[3]
    distance = torch.cat([one[0] for one in found], dim=1)
    place = torch.cat([one[1] for one in found], dim=1)
    return Matches(distance, place // columns, place % columns)


def matches_near(images: Tensor, template: Tensor, top: Tensor, left: Tensor, reach: int) -> Matches:
    """Find the best place of one template in each image, at most ``reach`` pixels from a given one.

    Args:
        images: ``[N, C, H, W]``.
        template: ``[C, h, w]``.
        top: Rows to search around, ``int64 [N]``.
        left: Columns to search around, ``int64 [N]``.
        reach: How far, in pixels.

    Returns:
        Matches of one template, ``[1, N]``.

    Example:
        >>> image = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> zero = torch.tensor([0])
        >>> found = matches_near(image, torch.tensor([[[10.0]]]), zero + 1, zero + 1, reach=1)
        >>> found.distance.item(), found.top.item(), found.left.item()
        (0.0, 2, 2)
    """
    _require_fitting(images, template[None])
    height, width = template.shape[1:]
    n_rows, n_columns = min(height + 2 * reach, images.shape[2]), min(width + 2 * reach, images.shape[3])
    first_row = (top - reach).clamp(0, images.shape[2] - n_rows)
    first_column = (left - reach).clamp(0, images.shape[3] - n_columns)
    rows = first_row[:, None] + torch.arange(n_rows)
    columns = first_column[:, None] + torch.arange(n_columns)
    index = torch.arange(len(images))[:, None, None, None]
    channel = torch.arange(images.shape[1])[:, None, None]
    crops = images[index, channel, rows[:, None, :, None], columns[:, None, None, :]]
    found = best_matches(crops, template[None])
    return Matches(found.distance, found.top + first_row, found.left + first_column)


def _best(images: Tensor, templates: Tensor, squares: Tensor, size: int) -> tuple[Tensor, Tensor]:
    # In place: these are the largest tensors of a search.
    values = F.conv2d(images, templates).mul_(-2).add_(squares)
    least, place = values.flatten(2).min(dim=2)
    distance = (least + templates.square().sum(dim=(1, 2, 3))).clamp(min=0) / size
    return distance.sqrt().T, place.T


def _require_fitting(images: Tensor, templates: Tensor) -> None:
    fits = images.ndim == templates.ndim == 4 and images.shape[1] == templates.shape[1]
    if not fits or templates.shape[2] > images.shape[2] or templates.shape[3] > images.shape[3]:
        raise ConfigurationError(
            f"templates of shape {tuple(templates.shape)} do not fit images of shape {tuple(images.shape)}; give "
            "[T, C, h, w] and [N, C, H, W] with equally many channels, h ≤ H and w ≤ W"
        )
