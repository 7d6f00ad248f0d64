"""The pictures of one observation, rendered once and only if somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from saliency_callbacks.callbacks.history import Frame, frame_size
from saliency_callbacks.callbacks.lazy_pictures import LazyPictures
from saliency_callbacks.functional.maps import percentile, resize, signed_map
from saliency_callbacks.rendering.attribution import render, signed_scale
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA
from saliency_callbacks.rendering.filmstrip import MAX_ROWS, filmstrip
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.rendering.panel import Caption, panel
from saliency_callbacks.types import Attribution, Snapshot

__all__ = ["Appearance", "Pictures", "frame_of", "reduced", "scale_of"]

_TILE = 72

ColorScale = Literal["shared", "per_map"]


@dataclass(frozen=True)
class Appearance:
    """How maps are drawn.

    Args:
        style: ``overlay``, ``heatmap``, ``signed``, ``signed_color`` or ``greyscale``.
        color_scale: ``shared`` over the epochs, for each sample, or ``per_map``.
        colormap: Name of a Matplotlib colour map; ``None`` for the style's own.
        alpha: Opacity of the hottest place of an overlay, in [0, 1].
    """

    style: Style = "overlay"
    color_scale: ColorScale = "shared"
    colormap: str | None = None
    alpha: float = DEFAULT_ALPHA

    @property
    def colors(self) -> dict[str, Any]:
        """The colour map as an argument, where one was asked for."""
        return {} if self.colormap is None else {"colormap": self.colormap}

    @property
    def is_signed(self) -> bool:
        """Whether the signed values are drawn, not their magnitude."""
        return self.style in ("signed", "signed_color")


def scale_of(attribution: Attribution, appearance: Appearance) -> Tensor:
    """Return what gets the full colour in each map, ``[N]``: its 99th percentile, or its maximum where that is 0."""
    if appearance.is_signed:
        return signed_scale(attribution.values)
    scale = percentile(attribution.magnitude, 0.99)
    return torch.where(scale > 0, scale, attribution.magnitude.flatten(1).amax(dim=1))


def frame_of(attribution: Attribution, appearance: Appearance, moment: str) -> Frame:
    """Return the small copy of the maps that the filmstrip keeps."""
    maps = attribution.magnitude
    if appearance.is_signed:
        maps = resize(signed_map(attribution.values), attribution.magnitude.shape[1:])
    return Frame.of(moment, maps)


class Pictures(LazyPictures):
    """Tag → ``uint8 [height, width, 3]``: a panel and a filmstrip for each method.

    Args:
        snapshot: The observation.
        images: The probe as pictures, ``uint8 [N, H, W, 3]``.
        small_images: The same at the size of the frames.
        captions: One for each sample.
        scales: Method → shared colour scale ``[N]``, this observation included.
        frames: Method → what the filmstrip shows, this observation last.
        appearance: How maps are drawn.
        namespace: First part of every tag.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        images: npt.NDArray[np.uint8],
        small_images: npt.NDArray[np.uint8],
        captions: Sequence[Caption],
        scales: Mapping[str, Tensor],
        frames: Mapping[str, Sequence[Frame]],
        appearance: Appearance,
        namespace: str,
    ) -> None:
        self.snapshot = snapshot
        self.images = images
        self.small_images = small_images
        self.captions = captions
        self.scales = scales
        self.frames = frames
        self.appearance = appearance
        super().__init__(
            {
                tag: partial(draw, method)
                for method in snapshot.attributions
                for tag, draw in (
                    (f"{namespace}/{method}", self._panel),
                    (f"{namespace}/{method}/filmstrip", self._filmstrip),
                )
            }
        )

    def _scale_note(self, shared: str) -> str:
        return shared if self.appearance.color_scale == "shared" else "scale per map"

    def _panel(self, method: str) -> npt.NDArray[np.uint8]:
        attribution = self.snapshot.attributions[method]
        look = self.appearance
        rendered = render(
            attribution,
            self.images,
            style=look.style,
            scale=self.scales[method] if look.color_scale == "shared" else None,
            alpha=look.alpha,
            **look.colors,
        )
        title = " · ".join(filter(None, [method, self.snapshot.moment, attribution.layer]))
        return panel(
            self.images,
            rendered,
            self.captions,
            title=title,
            style=look.style,
            scale_note=self._scale_note("scale: largest so far"),
            **look.colors,
        )

    def _filmstrip(self, method: str) -> npt.NDArray[np.uint8]:
        look = self.appearance
        style: Style = "signed" if look.is_signed else look.style
        rows = min(len(self.images), MAX_ROWS)
        frames = self.frames[method]
        # All columns at once: the cost of a call is paid once, not at every epoch.
        maps = torch.cat([frame.maps[:rows] for frame in frames])
        shown = render(
            replace(self.snapshot.attributions[method], values=maps.unsqueeze(1), magnitude=maps, heatmap=_unit(maps)),
            np.tile(self.small_images[:rows], (len(frames), 1, 1, 1)),
            style=style,
            scale=self.scales[method][:rows].repeat(len(frames)) if look.color_scale == "shared" else None,
            alpha=look.alpha,
            **look.colors,
        )
        columns = np.split(shown, len(frames))
        return filmstrip(
            self.small_images[:rows],
            [(frame.moment, column) for frame, column in zip(frames, columns, strict=True)],
            [caption.title for caption in self.captions[:rows]],
            title=method if rows == len(self.images) else f"{method} · first {rows} of {len(self.images)}",
            tile=_TILE,
            style=style,
            scale_note=self._scale_note("one scale over all epochs"),
            **look.colors,
        )


def reduced(images: npt.NDArray[np.uint8], n_spatial: int) -> npt.NDArray[np.uint8]:
    """Return pictures at the size of the filmstrip's frames; those of signals and volumes as they are."""
    height, width = frame_size(images.shape[1:3])
    if n_spatial != 2 or (height, width) == images.shape[1:3]:
        return images
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX)) for image in images]
    )


def _unit(maps: Tensor) -> Tensor:
    peak = maps.abs().flatten(1).amax(dim=1).reshape(-1, *[1] * (maps.ndim - 1))
    return torch.where(peak > 0, maps.abs() / peak, torch.zeros_like(maps))
