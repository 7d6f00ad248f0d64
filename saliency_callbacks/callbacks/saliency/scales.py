"""Which maps are drawn of an attribution, and on which scale."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.saliency.history import Frame
from saliency_callbacks.functional.maps import percentile
from saliency_callbacks.rendering.attribution import drawn_maps, signed_scale
from saliency_callbacks.types import Attribution

__all__ = ["frame_of", "scale_of"]


def scale_of(attribution: Attribution, appearance: Appearance) -> Tensor:
    """Return what gets the full color in each map, ``[N]``: its 99th percentile, or its maximum where that is 0."""
    if appearance.is_signed:
        return signed_scale(attribution.values)
    scale = percentile(attribution.magnitude, 0.99)
    return torch.where(scale > 0, scale, attribution.magnitude.flatten(1).amax(dim=1))


def frame_of(attribution: Attribution, appearance: Appearance, moment: str, wrong: Tensor | None = None) -> Frame:
    """Return the small copy of the maps that filmstrip and animation keep."""
    return Frame.of(moment, drawn_maps(attribution, is_signed=appearance.is_signed), wrong)
