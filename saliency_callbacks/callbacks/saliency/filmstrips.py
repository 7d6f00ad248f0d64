"""What is drawn of a method's kept frames: the filmstrip, and the animation when the training ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, versions
from saliency_callbacks.callbacks.saliency.history import Frame
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.functional.maps import resize
from saliency_callbacks.rendering.attribution import as_attribution, render
from saliency_callbacks.rendering.contact_sheet import sheet_note
from saliency_callbacks.rendering.contour import top_region
from saliency_callbacks.rendering.evolution import MAX_ANIMATED, evolution
from saliency_callbacks.rendering.filmstrip import MAX_ROWS, filmstrip
from saliency_callbacks.rendering.images import display_maps
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.rendering.outlines.marks import Marks, marks_note
from saliency_callbacks.rendering.panel import Caption
from saliency_callbacks.types import Snapshot

__all__ = ["FramePictures", "summary"]

_TILE = 72
_ANIMATED_TILE = 96
# Of volumes, whose slices are smaller than their sheet, fewer samples are shown, and larger.
_SHEET_TILE = 132
_MOST_SHEETS = 8


def summary(
    stories: Mapping[str, Callable[[], npt.NDArray[np.uint8]]],
    state: MonitorState,
    model: nn.Module,
    moment: Moment,
    namespace: str,
    fingerprint: str,
) -> Observation[MonitorState] | None:
    """Return the observation that shows how maps evolved; ``None`` where there is nothing to show.

    Args:
        stories: Method → what draws its animation.
        state: State after the last observation, which it leaves as it is.
        model: The explained module.
        moment: When this is.
        namespace: First part of every tag.
        fingerprint: Fingerprint of the probe.
    """
    if not stories:
        return None
    pictures = LazyPictures({f"{namespace}/{name}/evolution": draw for name, draw in stories.items()})
    last = Snapshot(
        epoch=moment.epoch,
        step=moment.step,
        stage=moment.stage,
        attributions={},
        scores=state.scores,
        metadata={"model": type(model).__name__, "probe": fingerprint, "versions": versions()},
    )
    return Observation(last, state, pictures)


@dataclass(frozen=True, eq=False)
class FramePictures:
    """Draws the frames of one method.

    Args:
        method: Its name.
        frames: The frames, oldest first.
        images: The probe as small pictures, ``uint8 [N, H, W, 3]``.
        names: Names of the samples.
        scale: Shared color scale ``[N]``.
        appearance: How maps are drawn.
        sheet: How the slices of volumes are arranged in ``images`` and frames.
        axis_names: Names of the spatial axes of volumes, where they are known.
        explained: Where what is explained lies; pinned, and thus the same in all frames.
    """

    method: str
    frames: Sequence[Frame]
    images: npt.NDArray[np.uint8]
    names: Sequence[str]
    scale: Tensor
    appearance: Appearance
    sheet: ContactSheet | None = None
    axis_names: Sequence[str] | None = None
    explained: Sequence[Marks] = ()

    @property
    def _style(self) -> Style:
        return "signed" if self.appearance.is_signed else self.appearance.style

    def filmstrip(self) -> npt.NDArray[np.uint8]:
        """Draw one row a sample and one column a frame."""
        rows = min(len(self.images), MAX_ROWS if self.sheet is None else _MOST_SHEETS)
        return filmstrip(
            self.images[:rows],
            self._scenes(rows),
            self.names[:rows],
            title=self._title(rows),
            regions=self._regions(rows),
            marks=[self._explained(rows), *self._marks(rows)],
            tile=_TILE if self.sheet is None else _SHEET_TILE,
            sheet=self.sheet,
            style=self._style,
            scale_note=self._note(rows),
            **self.appearance.colors,
        )

    def evolution(self) -> npt.NDArray[np.uint8]:
        """Draw one picture a frame, ``uint8 [frames, height, width, 3]``."""
        rows = min(len(self.images), MAX_ANIMATED if self.sheet is None else _MOST_SHEETS)
        return evolution(
            self.images[:rows],
            self._scenes(rows),
            [self._captions(frame, rows) for frame in self.frames],
            title=self._title(rows),
            regions=self._regions(rows),
            marks=self._marks(rows),
            tile=_ANIMATED_TILE if self.sheet is None else _SHEET_TILE,
            sheet=self.sheet,
            style=self._style,
            scale_note=self._note(rows),
            **self.appearance.colors,
        )

    def _title(self, rows: int) -> str:
        total = len(self.images)
        note = None if self.sheet is None else sheet_note(self.sheet, self.axis_names)
        count = None if rows == total else f"first {rows} of {total}"
        return " · ".join(filter(None, [self.method, count, note]))

    def _note(self, rows: int) -> str:
        lines = marks_note([one for marks in self._marks(rows) for one in marks])
        return " · ".join(filter(None, [self.appearance.notes("one scale per sample"), lines]))

    def _explained(self, rows: int) -> list[Marks]:
        return [one[:rows] for one in self.explained]

    def _marks(self, rows: int) -> list[list[Marks]]:
        """Return what is drawn on the maps of each frame."""
        found = ([] if frame.found is None else [frame.found.marks(rows)] for frame in self.frames)
        return [[*self._explained(rows), *marks] for marks in found]

    def _captions(self, frame: Frame, rows: int) -> list[Caption]:
        wrong = [None] * rows if frame.wrong is None else frame.wrong[:rows].tolist()
        return [Caption(name, wrong=is_wrong) for name, is_wrong in zip(self.names[:rows], wrong, strict=True)]

    def _maps(self, rows: int) -> Tensor:
        newest = self.frames[-1].maps
        # Those of a signal have no height.
        size = self.images.shape[1:3] if newest.ndim == 3 else newest.shape[1:]
        return torch.cat([resize(frame.maps[:rows], size) for frame in self.frames])

    def _scenes(self, rows: int) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        look, count = self.appearance, len(self.frames)
        # All frames at once: the cost of a call is paid once, not at every epoch.
        shown = render(
            as_attribution(self.method, self._maps(rows)),
            np.tile(self.images[:rows], (count, 1, 1, 1)),
            style=self._style,
            scale=self.scale[:rows].repeat(count) if look.color_scale == "shared" else None,
            alpha=look.alpha,
            **look.colors,
        )
        return [(frame.moment, maps) for frame, maps in zip(self.frames, np.split(shown, count), strict=True)]

    def _regions(self, rows: int) -> list[npt.NDArray[np.bool_]] | None:
        if self.appearance.contour is None:
            return None
        size = self.images.shape[1], self.images.shape[2]
        regions = top_region(np.abs(display_maps(self._maps(rows), size)), self.appearance.contour)
        return np.split(regions, len(self.frames))
