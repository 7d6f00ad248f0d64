"""How well masks and boxes that were found in maps cover the regions of their samples."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.functional.localization import box_iou, mask_boxes, mask_iou
from saliency_callbacks.functional.maps import degenerate
from saliency_callbacks.types import Attribution, Outlines

__all__ = ["overlap"]


def overlap(attribution: Attribution, found: Outlines, masks: Tensor) -> dict[str, Tensor]:
    """Return the intersection over union of what was found in each map with the region of its sample, each ``[N]``.

    ==================  ======  ====================================================================
    Score               Range   What it says
    ==================  ======  ====================================================================
    ``region_iou``      [0, 1]  of the mask that was found and the region
    ``region_box_iou``  [0, 1]  of the boxes around both; of images only
    ==================  ======  ====================================================================

    NaN for an empty region, and where the map is constant or not finite; 0 where nothing was found in a map.

    Args:
        attribution: The maps.
        found: What was found in them, e.g. by :func:`saliency_callbacks.localize`.
        masks: The region of each sample, ``[N, *spatial]``, bool or shares, of which ≥ ½ belongs to the region.

    Example:
        >>> flat = torch.zeros(1)
        >>> maps = torch.tensor([[[0.1, 0.9], [0.2, 0.3]]])
        >>> found = Outlines(masks=maps > 0.5)
        >>> overlap(Attribution("map", maps[:, None], maps, maps, flat, flat), found, maps > 0.25)
        {'region_iou': tensor([0.5000])}
    """
    if found.masks is None:
        return {}
    scores = {"region_iou": mask_iou(found.masks, masks)}
    if found.boxes is not None:
        scores["region_box_iou"] = box_iou(found.boxes, mask_boxes(masks)).nan_to_num(0)
    is_defined = (masks >= 0.5).flatten(1).any(dim=1) & ~degenerate(attribution.magnitude)
    return {name: torch.where(is_defined, values, torch.nan) for name, values in scores.items()}
