"""How much of a map lies in a region, and how well it finds the region.

Maps are non-negative ``[N, *spatial]``. A map that is all zero, or has a negative or non-finite value, and an empty
region give NaN. Where the mask holds shares, mass and lift count a position in part; the measures that rank positions
need to know which belong to the region, and take those with a share of at least ½.
"""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.maps import distribution
from saliency_callbacks.functional.precision import score_dtype, widen
from saliency_callbacks.functional.ranks import rank

__all__ = [
    "box_iou",
    "mask_boxes",
    "mask_iou",
    "pointing_game",
    "rank_accuracy",
    "region_auc",
    "region_lift",
    "region_mass",
]


def region_mass(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map inside its region, Σ_M R / ΣR; also called energy-based pointing game.

    Args:
        maps: Non-negative maps R, ``[N, *spatial]``.
        masks: Regions M of the same shape, bool, or a share of each pixel in [0, 1].

    Returns:
        ``[N]`` in [0, 1].

    Raises:
        ConfigurationError: If the shapes differ.

    Reference:
        Wang et al. 2020, arXiv 1910.01279 (energy-based pointing game).

    Example:
        >>> region_mass(torch.tensor([[1.0, 3.0, 0.0, 0.0]]), torch.tensor([[False, True, False, False]]))
        tensor([0.7500])
    """
    inside, size = _inside(maps, masks)
    return torch.where(size > 0, inside, torch.nan).to(score_dtype(maps))


def region_lift(maps: Tensor, masks: Tensor) -> Tensor:
    """Return how many times more of the map lies in the region than in one of its size on average: mass / (|M| / P).

    Args:
        maps: Non-negative maps R of P elements, ``[N, *spatial]``.
        masks: Regions M of the same shape, bool, or a share of each pixel in [0, 1].

    Returns:
        ``[N]`` in [0, P / |M|]; 1 for a map that ignores the region.

    Raises:
        ConfigurationError: If the shapes differ.

    Example:
        >>> region_lift(torch.tensor([[1.0, 3.0, 0.0, 0.0]]), torch.tensor([[False, True, False, False]]))
        tensor([3.])
    """
    inside, size = _inside(maps, masks)
    return torch.where(size > 0, inside / size, torch.nan).to(score_dtype(maps))


def rank_accuracy(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of the |M| highest positions that lie in the region, |top-|M|(R) ∩ M| / |M|.

    Pixels that tie for the last of these ranks count by their expected membership, as if drawn by lot: a flat map has
    |M| / P, not what the order of its elements happens to give.

    Args:
        maps: Non-negative maps R of P elements, ``[N, *spatial]``.
        masks: Regions M of the same shape, bool, or shares, of which ≥ ½ belongs to the region.

    Returns:
        ``[N]`` in [0, 1].

    Raises:
        ConfigurationError: If the shapes differ.

    Reference:
        Arras et al. 2022, arXiv 2003.07258 (relevance rank accuracy).

    Example:
        >>> rank_accuracy(torch.tensor([[4.0, 3.0, 1.0, 0.0]]), torch.tensor([[True, False, True, False]]))
        tensor([0.5000])
    """
    flat, region = _membership(maps, masks)
    size = region.sum(dim=1, keepdim=True)
    lowest = flat.sort(dim=1, descending=True).values.gather(1, (size - 1).clamp_min(0))
    above, tied = flat > lowest, flat == lowest
    drawn = widen(size - above.sum(dim=1, keepdim=True)) / tied.sum(dim=1, keepdim=True)
    hits = (above & region).sum(dim=1) + (tied & region).sum(dim=1) * drawn[:, 0]
    return _where_defined(flat, size[:, 0] > 0, hits / size[:, 0]).to(score_dtype(maps))


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Return 1 where the maximum of the map lies in the region, argmax R ∈ M, and 0 where it does not.

    A maximum that several positions share points nowhere and fails, even if all of them lie in the region.

    Args:
        maps: Non-negative maps R, ``[N, *spatial]``.
        masks: Regions M of the same shape, bool, or shares, of which ≥ ½ belongs to the region.

    Returns:
        ``[N]``, each 0 or 1.

    Raises:
        ConfigurationError: If the shapes differ.

    Reference:
        Zhang et al. 2016, arXiv 1608.00507; here without their tolerance of 15 pixels.

    Example:
        >>> pointing_game(torch.tensor([[1.0, 3.0], [3.0, 3.0]]), torch.tensor([[False, True], [False, True]]))
        tensor([1., 0.])
    """
    flat, region = _membership(maps, masks)
    highest = flat == flat.amax(dim=1, keepdim=True)
    hit = (highest.sum(dim=1) == 1) & (highest & region).any(dim=1)
    return _where_defined(flat, region.any(dim=1), hit.to(score_dtype(maps)))


def region_auc(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the area under the ROC curve of the map as a detector of the region.

    That is the probability that a position inside is higher than one outside, ties counting half, from the sum of the
    ranks inside: [Σ_M rank(R) - |M|(|M| + 1)/2] / [|M| (P - |M|)] (Mann-Whitney).

    Args:
        maps: Non-negative maps R of P elements, ``[N, *spatial]``.
        masks: Regions M of the same shape, bool, or shares, of which ≥ ½ belongs to the region.

    Returns:
        ``[N]`` in [0, 1], ½ for a map that ignores the region; NaN for a region that is everything, too.

    Raises:
        ConfigurationError: If the shapes differ.

    Reference:
        Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve", Radiology 143(1).

    Example:
        >>> region_auc(torch.tensor([[4.0, 3.0, 1.0, 0.0]]), torch.tensor([[True, False, True, False]]))
        tensor([0.7500])
    """
    flat, region = _membership(maps, masks)
    inside = widen(region.sum(dim=1))
    outside = flat.shape[1] - inside
    wins = torch.where(region, rank(flat), 0).sum(dim=1) - inside * (inside + 1) / 2
    return _where_defined(flat, (inside > 0) & (outside > 0), wins / (inside * outside)).to(score_dtype(maps))


def mask_iou(found: Tensor, masks: Tensor) -> Tensor:
    """Return the intersection over union of masks that were found with regions.

    Args:
        found: Masks F, bool ``[N, *spatial]``.
        masks: Regions M of the same shape, bool, or shares, of which ≥ ½ belongs to the region.

    Returns:
        ``[N]`` in [0, 1]; NaN for an empty region.

    Raises:
        ConfigurationError: If the shapes differ.

    Example:
        >>> mask_iou(torch.tensor([[True, True, False]]), torch.tensor([[False, True, True]]))
        tensor([0.3333])
    """
    _require_same_shape(found, masks)
    flat, region = found.flatten(1), (masks >= 0.5).flatten(1)
    shares = (flat & region).sum(dim=1) / (flat | region).sum(dim=1)
    return torch.where(region.any(dim=1), shares, torch.nan)


def mask_boxes(masks: Tensor) -> Tensor:
    """Return the smallest box around each mask.

    Args:
        masks: Bool ``[N, H, W]``, or shares, of which ≥ ½ belongs to the region.

    Returns:
        Corners ``(x0, y0, x1, y1)``, ``[N, 4]``: edges of pixels, so that x1 - x0 is the width; NaN for an empty mask.

    Example:
        >>> mask_boxes(torch.tensor([[[False, True, True], [False, False, True]]]))
        tensor([[1., 0., 3., 2.]])
    """
    inside = masks >= 0.5
    sides = [_extent(inside.any(dim=other)) for other in (1, 2)]
    return torch.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], dim=1)


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the area that each box shares with the other box of its sample, over the area of both together.

    Args:
        boxes: Corners ``(x0, y0, x1, y1)``, ``[N, 4]``.
        others: The same number of others.

    Returns:
        ``[N]`` in [0, 1]; NaN where one of them is NaN.

    Example:
        >>> box_iou(torch.tensor([[0.0, 0.0, 2.0, 1.0]]), torch.tensor([[1.0, 0.0, 3.0, 1.0]]))
        tensor([0.3333])
    """
    low, high = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    shared = (high - low).clamp_min(0).prod(dim=1)
    first, second = ((one[:, 2:] - one[:, :2]).prod(dim=1) for one in (boxes, others))
    return shared / (first + second - shared)


def _extent(lines: Tensor) -> tuple[Tensor, Tensor]:
    """Return the edges before the first and after the last that is true in ``[N, length]``; NaN where none is."""
    count = lines.shape[1]
    whole = lines.float()
    first, last = whole.argmax(dim=1), count - whole.flip(1).argmax(dim=1)
    is_empty = ~lines.any(dim=1)
    low, high = (edge.to(whole.dtype).masked_fill(is_empty, torch.nan) for edge in (first, last))
    return low, high


def _inside(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of each map inside its mask, and the share |M| / P of all elements that the mask covers."""
    _require_same_shape(maps, masks)
    shares = distribution(maps).flatten(1)
    regions = masks.to(shares.dtype).flatten(1)
    return (shares * regions).sum(dim=1), regions.mean(dim=1)


def _membership(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps ``[N, P]`` and which of their positions belong to the region, bool ``[N, P]``."""
    _require_same_shape(maps, masks)
    return maps.flatten(1), (masks >= 0.5).flatten(1)


def _where_defined(flat: Tensor, region_is_usable: Tensor, result: Tensor) -> Tensor:
    """Return ``result [N]``, or NaN where the region is of no use or the map shows nothing."""
    shows_something = (flat.isfinite() & (flat >= 0)).all(dim=1) & (flat > 0).any(dim=1)
    return torch.where(shows_something & region_is_usable, result, torch.nan)


def _require_same_shape(maps: Tensor, masks: Tensor) -> None:
    if masks.shape != maps.shape:
        raise ConfigurationError(
            f"masks have shape {tuple(masks.shape)} but maps have shape {tuple(maps.shape)}; give one mask per map, "
            "at the same resolution and without a channel dimension"
        )
