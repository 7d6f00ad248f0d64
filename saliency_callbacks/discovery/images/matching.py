"""Matching templates with images of any size: in reduced images, and then in full around the best place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.functional.images.templates import Matches, best_matches, matches_near

__all__ = ["Matcher"]

_SIDE = 48
"""Images are reduced until their shorter side is below this many pixels."""


@dataclass(frozen=True, eq=False)
class Matcher:
    """Images, and the same reduced to what can be searched in a second.

    Args:
        images: ``[N, C, H, W]`` in [0, 1].
    """

    images: Tensor

    @cached_property
    def factor(self) -> int:
        """How many pixels are averaged to one, in each direction."""
        return min(self.images.shape[2:]) // _SIDE + 1

    @cached_property
    def reduced(self) -> Tensor:
        """The reduced images, float32."""
        if self.factor == 1:
            return self.images.float()
        parts = [F.avg_pool2d(part.float(), self.factor) for part in self.images.split(64)]
        return torch.cat(parts)

    def coarse(self, templates: Tensor, positions: Tensor) -> Matches:
        """Match reduced templates ``[T, C, h, w]`` with reduced images, all places of them."""
        return best_matches(self.reduced[positions], templates)

    def full(self, template: Tensor, positions: Tensor, coarse: Matches) -> Matches:
        """Match one template ``[C, h, w]`` in full around the places found in reduced images, ``[1, M]``.

        Args:
            template: As it is in the images.
            positions: Which images, ``int64 [M]``.
            coarse: Where it is in the reduced ones, ``[1, M]``.
        """
        if self.factor == 1:
            return coarse
        top, left = coarse.top[0] * self.factor, coarse.left[0] * self.factor
        parts = [
            matches_near(self.images[some].float(), template, top[rows], left[rows], self.factor)
            for rows in torch.arange(len(positions)).split(64)
            for some in (positions[rows],)
        ]
        return Matches(*(torch.cat(part, dim=1) for part in zip(*parts, strict=True)))
