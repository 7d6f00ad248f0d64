"""Means by class that are added up a few samples at a time: the memory is that of the classes, however many samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.functional.ranks import rank
from saliency_callbacks.types import ClassMaps

__all__ = ["ALL", "MAX_CLASSES", "MapMeans", "Means", "kept_size"]

ALL = -1
"""The class of all samples."""

MAX_CLASSES = 100
"""Where there are more, they are not told apart: memory and disk would fill with means of a few samples each."""

_LONGEST_SIDES = {1: 512, 2: 72, 3: 24}
_POOLS: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}


class Means:
    """Sums over the samples of each class, and of all, in float64."""

    def __init__(self) -> None:
        self._sums: dict[int, Tensor] = {}
        self._counts: dict[int, int] = {}

    def add(self, values: Tensor, labels: Tensor | None) -> None:
        """Add samples; those with a value that is not finite are left out.

        Args:
            values: ``[N, ...]``.
            labels: Class of each ``[N]``; ``None`` where they have none.
        """
        is_finite = values.flatten(1).isfinite().all(dim=1)
        self._add(ALL, values[is_finite])
        for index in [] if labels is None else labels.unique().tolist():
            self._add(int(index), values[is_finite & (labels == index)])

    def _add(self, index: int, values: Tensor) -> None:
        total = values.sum(dim=0, dtype=torch.float64)
        if index in self._sums:
            self._sums[index] += total
        else:
            self._sums[index] = total
        self._counts[index] = self._counts.get(index, 0) + len(values)

    def of(self, classes: Sequence[int]) -> Tensor:
        """Return the mean over the samples of each class, ``float32 [K, ...]``; NaN where there is none."""
        return torch.stack([(self._sums[index] / self._counts[index]).float() for index in classes])

    def counts(self, classes: Sequence[int]) -> Tensor:
        """Return the number of samples behind each mean, ``[K]``."""
        return torch.tensor([self._counts[index] for index in classes])


class MapMeans:
    """The means of one method's maps; see :class:`~saliency_callbacks.types.ClassMaps`."""

    def __init__(self) -> None:
        self._magnitude, self._rank = Means(), Means()

    def add(self, magnitude: Tensor, labels: Tensor | None) -> None:
        """Add the maps ``[N, *spatial]`` of some samples."""
        self._magnitude.add(_kept_maps(magnitude), labels)
        flat = magnitude.flatten(1)
        shares = (rank(flat) / flat.shape[1]).reshape(magnitude.shape)
        self._rank.add(_kept_maps(shares), labels)

    def of(self, classes: Sequence[int]) -> ClassMaps:
        """Return the means of the maps of each class."""
        return ClassMaps(
            mean=self._magnitude.of(classes),
            mean_rank=self._rank.of(classes),
            counts=self._magnitude.counts(classes),
        )


def kept_size(values: Tensor) -> Tensor:
    """Return ``values [N, C, *spatial]`` at the size at which means are kept.

    Example:
        >>> kept_size(torch.rand(2, 3, 96, 144)).shape, kept_size(torch.rand(2, 3, 64, 64)).shape
        (torch.Size([2, 3, 48, 72]), torch.Size([2, 3, 64, 64]))
    """
    spatial = values.shape[2:]
    factor = _LONGEST_SIDES[len(spatial)] / max(spatial)
    if factor >= 1:
        return values
    return _POOLS[len(spatial)](values, [max(1, round(side * factor)) for side in spatial])


def _kept_maps(maps: Tensor) -> Tensor:
    return kept_size(maps.unsqueeze(1)).squeeze(1)
