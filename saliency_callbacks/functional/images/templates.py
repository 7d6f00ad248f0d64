"""Finding a small piece of an image in other images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.errors import ConfigurationError

__all__ = ["Matches", "best_distances", "best_matches", "least_distances", "matches_near"]

_BLOCK = 2
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
    centered, own = _centered(images, templates)
    found = [values.flatten(2).min(dim=2) for values in _without_own_squares(centered, own, dilation=1)]
    least, place = (torch.cat([part[at] for part in found]).T for at in (0, 1))
    n_columns = images.shape[3] - templates.shape[3] + 1
    return Matches(_rooted(least, own, templates[0].numel()), place // n_columns, place % n_columns)


def best_distances(images: Tensor, templates: Tensor) -> Tensor:
    """Return the distances of :func:`best_matches` alone, ``[T, N]``, for less work than the places take.

    Args:
        images: ``[N, C, H, W]``.
        templates: ``[T, C, h, w]``, no larger than the images.

    Raises:
        ConfigurationError: If the shapes do not fit.

    Example:
        >>> best_distances(torch.eye(3)[None, None], torch.ones(1, 1, 1, 1))
        tensor([[0.]])
    """
    _require_fitting(images, templates)
    if not len(templates) or not len(images):
        return images.new_zeros(len(templates), len(images))
    return _least(images, templates, templates[0].numel(), dilation=1)


def least_distances(images: Tensor, templates: Tensor) -> Tensor:
    r"""Return lower bounds of the distances of :func:`best_matches`, for a tenth of the work.

    A mean square is no less than the square of a mean: grey means of blocks of 2×2 pixels differ by no more than the
    pixels do.

    .. math:: \min_p \sqrt{\frac{4}{h w} \sum_b (\bar t_b - \bar x_{b, p})^2} \le D(t, x)

    Args:
        images: ``[N, C, H, W]``.
        templates: ``[T, C, h, w]``, no larger than the images; 0 is returned of those below 2×2.

    Returns:
        ``[T, N]``.

    Raises:
        ConfigurationError: If the shapes do not fit.

    Example:
        >>> least_distances(torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 2, 2))
        tensor([[1.]])
    """
    _require_fitting(images, templates)
    if not len(templates) or not len(images) or min(templates.shape[2:]) < _BLOCK:
        return images.new_zeros(len(templates), len(images))
    means = F.avg_pool2d(images.mean(dim=1, keepdim=True), _BLOCK, stride=1)
    blocks = F.avg_pool2d(templates.mean(dim=1, keepdim=True), _BLOCK)
    height, width = templates.shape[2:]
    return _least(means, blocks, height * width / _BLOCK**2, dilation=_BLOCK)


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


def _least(images: Tensor, templates: Tensor, size: float, dilation: int) -> Tensor:
    """Return the root of the least sum of squared differences over ``size``, ``[T, N]``."""
    centered, own = _centered(images, templates)
    least = [values.amin(dim=(2, 3)) for values in _without_own_squares(centered, own, dilation)]
    return _rooted(torch.cat(least).T, own, size)


def _centered(images: Tensor, templates: Tensor) -> tuple[Tensor, Tensor]:
    """Move both to a common center, about which the squares are small, and so is their rounding."""
    center = images.mean()
    return images - center, templates - center


def _without_own_squares(images: Tensor, templates: Tensor, dilation: int) -> Iterator[Tensor]:
    """Yield Σ (t − x)² − Σ t² at all places of a few images at a time, ``[n, T, rows, columns]``.

    Args:
        images: ``[N, C, H, W]``.
        templates: ``[T, C, h, w]``.
        dilation: Pixels of the image from one value of a template to the next.
    """
    window = images.new_ones(1, 1, *templates.shape[2:])
    squares = F.conv2d(images.square().sum(dim=1, keepdim=True), window, dilation=dilation)
    chunk = max(1, _MOST_VALUES // (squares[0].numel() * len(templates)))
    twice = -2 * templates
    for part, square in zip(images.split(chunk), squares.split(chunk), strict=True):
        # In place: these are the largest tensors of a search.
        yield F.conv2d(part, twice, dilation=dilation).add_(square)


def _rooted(sums: Tensor, templates: Tensor, size: float) -> Tensor:
    """Return √((Σ (t − x)² − Σ t² + Σ t²) / size), ``[T, N]``."""
    own_squares = templates.square().sum(dim=(1, 2, 3))
    return ((sums + own_squares[:, None]).clamp(min=0) / size).sqrt()


def _require_fitting(images: Tensor, templates: Tensor) -> None:
    fits = images.ndim == templates.ndim == 4 and images.shape[1] == templates.shape[1]
    if not fits or templates.shape[2] > images.shape[2] or templates.shape[3] > images.shape[3]:
        raise ConfigurationError(
            f"templates of shape {tuple(templates.shape)} do not fit images of shape {tuple(images.shape)}; give "
            "[T, C, h, w] and [N, C, H, W] with equally many channels, h ≤ H and w ≤ W"
        )
