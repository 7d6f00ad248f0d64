"""An animation through the slices of volumes, or the frames of videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from saliency_callbacks.arrays.slices import evenly_spaced, slice_name
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.saliency.scales import scale_of
from saliency_callbacks.rendering.attribution import as_attribution, drawn_maps, render
from saliency_callbacks.rendering.evolution import evolution
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.rendering.panel import Caption
from saliency_callbacks.rendering.tiles import reduce_area
from saliency_callbacks.types import Attribution

__all__ = ["SliceAnimation"]

# It is drawn at every observation, so it is no larger than a person would watch. The page has all of it.
_MOST_SAMPLES, _FEWEST_SAMPLES = 4, 2
_GIF_FRAMES = 64
_TILE = 96
# Of all slices of a sample, input and map; of more, two samples are shown.
_MOST_PIXELS = 700_000


@dataclass(frozen=True, eq=False)
class SliceAnimation:
    """Draws the maps of one method slice by slice.

    Args:
        attribution: The maps of volumes.
        volumes: Pictures of all slices, ``uint8 [N, D, height, width, 1 or 3]``.
        captions: One for each sample.
        scale: Shared color scale ``[N]``.
        title: What is shown.
        appearance: How maps are drawn.
        axis_names: Names of the spatial axes.
    """

    attribution: Attribution
    volumes: npt.NDArray[np.uint8]
    captions: Sequence[Caption]
    scale: Tensor
    title: str
    appearance: Appearance
    axis_names: Sequence[str] | None = None

    def draw(self) -> npt.NDArray[np.uint8]:
        """Draw a picture a slice, ``uint8 [slices, height, width, 3]``; of more than 64 slices evenly spaced ones."""
        look, depth = self.appearance, self.volumes.shape[1]
        indices = evenly_spaced(depth, _GIF_FRAMES)
        is_long = 2 * len(indices) * _TILE**2 > _MOST_PIXELS
        rows = min(len(self.volumes), _FEWEST_SAMPLES if is_long else _MOST_SAMPLES)
        images = self._images(rows, indices)
        shown = self._rendered(images, rows, indices)
        captions = self.captions[:rows]
        return evolution(
            images,
            [(slice_name(index, depth, self.axis_names), maps) for index, maps in zip(indices, shown, strict=True)],
            [captions] * len(indices),
            title=self.title if rows == len(self.volumes) else f"{self.title} · first {rows} of {len(self.volumes)}",
            style=self._style,
            scale_note=look.notes("one scale"),
            **look.colors,
        )

    @property
    def _style(self) -> Style:
        return "signed" if self.appearance.is_signed else self.appearance.style

    def _images(self, rows: int, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Return pictures ``[slices, N, height, width, 3]``."""
        chosen = self.volumes[:rows, list(indices)].swapaxes(0, 1)
        colored = np.broadcast_to(chosen, (*chosen.shape[:-1], 3)).reshape(-1, *chosen.shape[2:4], 3)
        small = reduce_area(colored, largest=_TILE)
        return small.reshape(len(indices), rows, *small.shape[1:])

    def _rendered(
        self, images: npt.NDArray[np.uint8], rows: int, indices: Sequence[int]
    ) -> Sequence[npt.NDArray[np.uint8]]:
        look, count = self.appearance, len(indices)
        maps = drawn_maps(self.attribution, is_signed=look.is_signed)[:rows, list(indices)].transpose(0, 1)
        scale = self.scale if look.color_scale == "shared" else scale_of(self.attribution, look)
        rendered = render(
            as_attribution(self.attribution.method, maps.flatten(0, 1)),
            images.reshape(-1, *images.shape[2:]),
            style=self._style,
            # That of the whole volume, so that slices compare.
            scale=scale[:rows].repeat(count),
            alpha=look.alpha,
            **look.colors,
        )
        return np.split(rendered, count)
