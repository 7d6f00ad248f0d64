"""How maps are drawn, and which maps those are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from saliency_callbacks.callbacks.saliency.history import Frame
from saliency_callbacks.functional.maps import percentile, resize, signed_map
from saliency_callbacks.rendering.attribution import signed_scale
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.types import Attribution

__all__ = ["Appearance", "ColorScale", "drawn_maps", "frame_of", "scale_of"]

ColorScale = Literal["shared", "per_map"]


@dataclass(frozen=True)
class Appearance:
    """How maps are drawn.

    Args:
        style: ``overlay``, ``heatmap``, ``signed``, ``signed_color`` or ``greyscale``.
        color_scale: ``shared`` over the epochs, for each sample, or ``per_map``.
        colormap: Name of a Matplotlib colour map; ``None`` for the style's own.
        alpha: Opacity of the hottest place of an overlay, in [0, 1].
        contour: Share of the pixels, those with the largest magnitudes, that is outlined; ``None`` for no outline.
    """

    style: Style = "overlay"
    color_scale: ColorScale = "shared"
    colormap: str | None = None
    alpha: float = DEFAULT_ALPHA
    contour: float | None = None

    @property
    def colors(self) -> dict[str, Any]:
        """The colour map as an argument, where one was asked for."""
        return {} if self.colormap is None else {"colormap": self.colormap}

    @property
    def is_signed(self) -> bool:
        """Whether the signed values are drawn, not their magnitude."""
        return self.style in ("signed", "signed_color")

    def notes(self, shared: str) -> str:
        """Return what is said beside the colour bar, with ``shared`` as the words for a shared scale."""
        scale = shared if self.color_scale == "shared" else "scale per map"
        return scale if self.contour is None else f"{scale} · outline: top {100 * self.contour:.3g} %"


def drawn_maps(attribution: Attribution, appearance: Appearance) -> Tensor:
    """Return the maps whose values are drawn, ``[N, *spatial]``: signed sums for signed styles, else magnitudes."""
    if appearance.is_signed:
        return resize(signed_map(attribution.values), attribution.magnitude.shape[1:])
    return attribution.magnitude


def scale_of(attribution: Attribution, appearance: Appearance) -> Tensor:
    """Return what gets the full colour in each map, ``[N]``: its 99th percentile, or its maximum where that is 0."""
    if appearance.is_signed:
        return signed_scale(attribution.values)
    scale = percentile(attribution.magnitude, 0.99)
    return torch.where(scale > 0, scale, attribution.magnitude.flatten(1).amax(dim=1))


def frame_of(attribution: Attribution, appearance: Appearance, moment: str, wrong: Tensor | None = None) -> Frame:
    """Return the small copy of the maps that filmstrip and animation keep."""
    return Frame.of(moment, drawn_maps(attribution, appearance), wrong)
