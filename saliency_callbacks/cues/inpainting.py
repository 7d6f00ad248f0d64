"""Taking a cue out of images that have it: in-painting from its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from saliency_callbacks.config.checks import checked_choice
from saliency_callbacks.errors import CueError

__all__ = ["Fill", "remove"]

Fill = Literal["local_mean", "noise"]

_RING_WIDTH = 2
"""How many pixels around the region count as its surroundings."""

_MAX_POOL: Mapping[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def remove(images: Tensor, masks: Tensor, *, fill: Fill = "local_mean", seed: int = 0) -> Tensor:
    """Paint over a region of every image with the color around it.

    The color is the mean μ_nc, in each sample n and channel c, of the ring of pixels at most 2 away from the region.
    ``"noise"`` adds Gaussian noise of the ring's standard deviation σ_nc, so that no flat patch takes the cue's place;
    it is drawn from a generator of its own.

    Args:
        images: Display images in [0, 1], ``[N, C, *spatial]`` with 1 to 3 spatial dimensions.
        masks: The regions ``[N, *spatial]``, bool, or shares of which ≥ ½ belongs to the region.
        fill: ``"local_mean"`` or ``"noise"``.
        seed: Decides the noise.

    Returns:
        Images of the same shape in [0, 1]; whatever is outside the regions has its very bits.

    Raises:
        CueError: ``fill`` is unknown, the masks have another shape, or a region leaves nothing around it.

    Example:
        >>> remove(torch.tensor([[[0.25, 1.0, 0.75]]]), torch.tensor([[False, True, False]]))
        tensor([[[0.2500, 0.5000, 0.7500]]])
    """
    checked_choice("fill", fill, get_args(Fill), error=CueError)
    if masks.shape != (len(images), *images.shape[2:]):
        raise CueError(
            f"the masks have shape {list(masks.shape)}, but the images {list(images.shape)}; expected masks "
            f"{[len(images), *images.shape[2:]]}, without a channel dimension (masks.squeeze(1))"
        )
    regions = (masks >= 0.5).to(images.device)[:, None]
    mean, deviation = _surroundings(images, regions)
    painted = mean.expand_as(images)
    if fill == "noise":
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        painted = painted + deviation * noise.to(images)
    return torch.where(regions, painted.clamp(0, 1), images)


def _surroundings(images: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``[N, C, 1, …]`` of the ring around each region ``[N, 1, *spatial]``."""
    spatial = tuple(range(2, images.ndim))
    grow = _MAX_POOL[len(spatial)]
    grown = grow(regions.float(), kernel_size=2 * _RING_WIDTH + 1, stride=1, padding=_RING_WIDTH)
    ring = (grown > 0) & ~regions
    count = ring.sum(dim=spatial, keepdim=True)
    bare = regions.flatten(1).any(dim=1) & (count.flatten() == 0)
    if bare.any():
        raise CueError(
            f"the mask of sample {int(bare.nonzero()[0])} covers its whole image, so nothing is left to inpaint from; "
            "expected a mask of the cue alone"
        )
    mean = torch.where(ring, images, 0).sum(dim=spatial, keepdim=True) / count
    squares = torch.where(ring, (images - mean) ** 2, 0).sum(dim=spatial, keepdim=True)
    return mean, (squares / count).sqrt()
