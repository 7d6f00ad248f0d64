"""The pictures of one observation, rendered once and only if somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.saliency.filmstrips import FramePictures
from saliency_callbacks.callbacks.saliency.history import Frame
from saliency_callbacks.callbacks.saliency.slices import SliceAnimation
from saliency_callbacks.rendering.attribution import drawn_maps, render
from saliency_callbacks.rendering.contact_sheet import sheet_note, sheet_of
from saliency_callbacks.rendering.contour import top_region
from saliency_callbacks.rendering.filmstrip import filmstrip
from saliency_callbacks.rendering.images import display_maps
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.rendering.outlines.marks import Marks, marks_note
from saliency_callbacks.rendering.outlines.placing import marks_of
from saliency_callbacks.rendering.panel import LARGEST_SHEET, LARGEST_TILE, Caption, panel
from saliency_callbacks.rendering.tiles import reduce_area, reduce_side
from saliency_callbacks.types import Snapshot

__all__ = ["Pictures", "for_filmstrips", "for_panels"]

_FILMSTRIP_TILE = 72
_FILMSTRIP_SHEET = 132
_VOLUME_DIMENSIONS = 3

# Wide enough for the name of a method; the picture has to be seen at a glance, and there is a panel for each method.
_GLANCE_TILE = 112
_GLANCE_SHEET = 180
_GLANCE_PIXELS = 500_000
_GLANCE_ROWS = 8
# Pictures of one tag have to be of one size, or they jump when one goes through the epochs.
_LONGEST_MOMENT = "epoch 0000"


class Pictures(LazyPictures):
    """Tag → ``uint8 [height, width, 3]``: a panel and a filmstrip for each method, and one of all methods.

    Of volumes these show contact sheets, and for each method there is an animation ``[slices, height, width, 3]``.

    Args:
        snapshot: The observation.
        images: The probe as pictures for panels, ``uint8 [N, H, W, 3]``.
        small_images: The same for filmstrips.
        captions: One for each sample.
        scales: Method → shared color scale ``[N]``, this observation included.
        frames: Method → what the filmstrip shows, this observation last.
        appearance: How maps are drawn.
        namespace: First part of every tag.
        volumes: Of volumes, pictures of all slices, ``uint8 [N, D, height, width, 1 or 3]``.
        axis_names: Names of the spatial axes, where they are known.
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
        volumes: npt.NDArray[np.uint8] | None = None,
        axis_names: Sequence[str] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.images = images
        self.captions = captions
        self.scales = scales
        self.appearance = appearance
        self.volumes = volumes
        self.axis_names = axis_names
        self._spatial = tuple(next(iter(snapshot.attributions.values())).magnitude.shape[1:])
        self._sheet = sheet_of(self._spatial)
        self._rendered: dict[str, npt.NDArray[np.uint8]] = {}
        names = [caption.title for caption in captions]
        draw: dict[str, Callable[[], npt.NDArray[np.uint8]]] = {}
        explained = self._marks()
        for method in snapshot.attributions:
            strip = FramePictures(
                method,
                frames[method],
                small_images,
                names,
                scales[method],
                appearance,
                sheet=self._sheet,
                axis_names=axis_names,
                explained=explained,
            )
            draw[f"{namespace}/{method}"] = partial(self._panel, method)
            draw[f"{namespace}/{method}/filmstrip"] = strip.filmstrip
            if volumes is not None:
                draw[f"{namespace}/{method}/slices"] = partial(self._slices, method, volumes)
        if len(snapshot.attributions) > 1:
            draw[f"{namespace}/methods"] = self._glance
        super().__init__(draw)

    def _render(self, method: str) -> npt.NDArray[np.uint8]:
        # For the panel and the picture of all methods; two threads at once would merely both draw it.
        if method not in self._rendered:
            look = self.appearance
            scale = self.scales[method] if look.color_scale == "shared" else None
            self._rendered[method] = render(
                self.snapshot.attributions[method],
                self.images,
                style=look.style,
                scale=scale,
                alpha=look.alpha,
                **look.colors,
            )
        return self._rendered[method]

    def _regions(self, method: str) -> npt.NDArray[np.bool_] | None:
        if self.appearance.contour is None:
            return None
        size = self.images.shape[1], self.images.shape[2]
        maps = drawn_maps(self.snapshot.attributions[method], is_signed=self.appearance.is_signed)
        return top_region(np.abs(display_maps(maps, size)), self.appearance.contour)

    def _marks(self, *methods: str) -> list[Marks]:
        """Return what is explained, and what was found in the maps of some methods."""
        spatial, found = self._spatial, self.snapshot.localized
        in_maps = (marks_of(found.get(method), spatial, is_found=True) for method in methods)
        return [*marks_of(self.snapshot.explained, spatial), *(one for marks in in_maps for one in marks)]

    def _panel(self, method: str) -> npt.NDArray[np.uint8]:
        attribution = self.snapshot.attributions[method]
        look = self.appearance
        return panel(
            self.images,
            self._render(method),
            self.captions,
            title=self._title(method, self.snapshot.moment, attribution.layer),
            sheet=self._sheet,
            regions=self._regions(method),
            marks=self._marks(method),
            style=look.style,
            scale_note=_joined(look.notes("scale: maximum so far"), marks_note(self._marks(method))),
            room_for=self._title(method, _LONGEST_MOMENT, attribution.layer),
            **look.colors,
        )

    def _title(self, method: str, moment: str, layer: str | None) -> str:
        return " · ".join(filter(None, [method, moment, layer, self._sheet_note()]))

    def _sheet_note(self) -> str | None:
        return None if self._sheet is None else sheet_note(self._sheet, self.axis_names)

    def _slices(self, method: str, volumes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        attribution = self.snapshot.attributions[method]
        return SliceAnimation(
            attribution,
            volumes,
            self.captions,
            self.scales[method],
            f"{method} · {self.snapshot.moment}",
            self.appearance,
            self.axis_names,
        ).draw()

    def _glance(self) -> npt.NDArray[np.uint8]:
        look = self.appearance
        rows = min(len(self.images), _GLANCE_ROWS)
        methods = list(self.snapshot.attributions)
        regions = [region for method in methods if (region := self._regions(method)) is not None]
        title = self._title("all methods", self.snapshot.moment, None)
        return filmstrip(
            self.images[:rows],
            [(method, self._render(method)[:rows]) for method in methods],
            self.captions[:rows],
            title=title if rows == len(self.images) else f"{title} · first {rows} of {len(self.images)}",
            regions=regions or None,
            marks=[self._marks(), *(self._marks(method) for method in methods)],
            max_columns=max(2, len(methods)),
            tile=_GLANCE_TILE if self._sheet is None else _GLANCE_SHEET,
            sheet=self._sheet,
            pixels=_GLANCE_PIXELS,
            style=look.style,
            scale_note=_joined(look.notes("one scale per method"), marks_note(self._marks(*methods))),
            room_for=self._title("all methods", _LONGEST_MOMENT, None),
            **look.colors,
        )


def _joined(*words: str) -> str:
    return " · ".join(filter(None, words))


def for_panels(images: npt.NDArray[np.uint8], n_spatial: int) -> npt.NDArray[np.uint8]:
    """Return pictures no larger than a panel shows them, so that maps are drawn at that size; signals as they are."""
    largest = LARGEST_SHEET if n_spatial == _VOLUME_DIMENSIONS else LARGEST_TILE
    return images if n_spatial == 1 else reduce_area(images, largest=largest)


def for_filmstrips(images: npt.NDArray[np.uint8], n_spatial: int) -> npt.NDArray[np.uint8]:
    """Return pictures at most as high and wide as the tiles of a filmstrip; those of signals as they are."""
    longest = _FILMSTRIP_SHEET if n_spatial == _VOLUME_DIMENSIONS else _FILMSTRIP_TILE
    return images if n_spatial == 1 else reduce_side(images, longest=longest)
