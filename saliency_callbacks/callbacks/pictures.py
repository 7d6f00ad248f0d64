"""The pictures of one observation, rendered once and only if somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from saliency_callbacks.callbacks.history import Frame
from saliency_callbacks.functional.maps import percentile, resize, signed_map
from saliency_callbacks.rendering.attribution import render, signed_scale
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA, DEFAULT_COLORMAP
from saliency_callbacks.rendering.filmstrip import filmstrip
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.rendering.panel import Caption, panel
from saliency_callbacks.types import Attribution, Snapshot

__all__ = ["Appearance", "Pictures", "frame_of", "scale_of"]

ColorScale = Literal["shared", "per_map"]


@dataclass(frozen=True)
class Appearance:
    """How maps are drawn.

    Args:
        style: ``overlay``, ``heatmap``, ``signed``, ``signed_color`` or ``greyscale``.
        color_scale: ``shared`` over the epochs, for each sample, or ``per_map``.
        colormap: Name of a Matplotlib colour map.
        alpha: Opacity of the hottest place of an overlay, in [0, 1].
    """

    style: Style = "overlay"
    color_scale: ColorScale = "shared"
    colormap: str = DEFAULT_COLORMAP
    alpha: float = DEFAULT_ALPHA

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


class Pictures(Mapping[str, npt.NDArray[np.uint8]]):
    """Tag → ``uint8 [height, width, 3]``: a panel and a filmstrip for each method.

    Args:
        snapshot: The observation.
        images: The probe as pictures, ``uint8 [N, H, W, 3]``.
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
        captions: Sequence[Caption],
        scales: Mapping[str, Tensor],
        frames: Mapping[str, Sequence[Frame]],
        appearance: Appearance,
        namespace: str,
    ) -> None:
        self.snapshot = snapshot
        self.images = images
        self.captions = captions
        self.scales = scales
        self.frames = frames
        self.appearance = appearance
        self._tags = {
            tag: (kind, method)
            for method in snapshot.attributions
            for tag, kind in (
                (f"{namespace}/{method}", self._panel),
                (f"{namespace}/{method}/filmstrip", self._filmstrip),
            )
        }
        self._rendered: dict[str, npt.NDArray[np.uint8]] = {}

    def __getitem__(self, tag: str) -> npt.NDArray[np.uint8]:
        if tag not in self._rendered:
            kind, method = self._tags[tag]
            self._rendered[tag] = kind(method)
        return self._rendered[tag]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tags)

    def __len__(self) -> int:
        return len(self._tags)

    @property
    def _scale_note(self) -> str:
        return "scale shared over epochs" if self.appearance.color_scale == "shared" else "scale per map"

    def _panel(self, method: str) -> npt.NDArray[np.uint8]:
        attribution = self.snapshot.attributions[method]
        look = self.appearance
        rendered = render(
            attribution,
            self.images,
            style=look.style,
            scale=self.scales[method] if look.color_scale == "shared" else None,
            colormap=look.colormap,
            alpha=look.alpha,
        )
        title = " · ".join(filter(None, [method, self.snapshot.moment, attribution.layer]))
        return panel(
            self.images,
            rendered,
            self.captions,
            title=title,
            style=look.style,
            colormap=look.colormap,
            scale_note=self._scale_note,
        )

    def _filmstrip(self, method: str) -> npt.NDArray[np.uint8]:
        look = self.appearance
        attribution = self.snapshot.attributions[method]
        columns = []
        images = self.images
        for frame in self.frames[method]:
            maps = frame.maps()
            images = _reduced(self.images, maps)
            small = replace(attribution, values=maps.unsqueeze(1), magnitude=maps, heatmap=_unit(maps))
            scale = self.scales[method] if look.color_scale == "shared" else None
            style: Style = "signed" if look.is_signed else look.style
            shown = render(small, images, style=style, scale=scale, colormap=look.colormap, alpha=look.alpha)
            columns.append((frame.moment, shown))
        return filmstrip(
            images,
            columns,
            [caption.title for caption in self.captions],
            title=method,
            style="signed" if look.is_signed else look.style,
            colormap=look.colormap,
            scale_note=self._scale_note,
        )


def _unit(maps: Tensor) -> Tensor:
    peak = maps.abs().flatten(1).amax(dim=1).reshape(-1, *[1] * (maps.ndim - 1))
    return torch.where(peak > 0, maps.abs() / peak, torch.zeros_like(maps))


def _reduced(images: npt.NDArray[np.uint8], maps: Tensor) -> npt.NDArray[np.uint8]:
    """Return the pictures at the size of a frame's maps, where these were made smaller."""
    if maps.ndim != 3 or images.shape[1] <= maps.shape[1]:
        return images
    size = (maps.shape[2], maps.shape[1])
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])
