"""The probe as pictures, made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.saliency.filmstrips import FramePictures
from saliency_callbacks.callbacks.saliency.history import MethodHistory
from saliency_callbacks.callbacks.saliency.inputs import axis_names, probe_images, probe_volumes
from saliency_callbacks.callbacks.saliency.pictures import for_filmstrips, for_panels
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.contact_sheet import sheet_of
from saliency_callbacks.rendering.outlines.placing import marks_of
from saliency_callbacks.types import Outlines, ProbeView

__all__ = ["ProbePictures"]


@dataclass(frozen=True, eq=False)
class ProbePictures:
    """Pictures of the explained inputs of a probe, each made when it is first asked for.

    Args:
        inputs: The explained inputs, ``[N, C, *spatial]``.
        probe: The frozen probe.
        layout: Axes of the inputs as letters, where they are known.
        appearance: How they are drawn.
        namespace: First part of every tag, for messages.
    """

    inputs: Tensor
    probe: ProbeBatch
    layout: str | None
    appearance: Appearance
    namespace: str

    @cached_property
    def images(self) -> npt.NDArray[np.uint8]:
        """One picture a sample, of volumes a contact sheet, ``uint8 [N, H, W, 3]``."""
        return probe_images(self.inputs, self.probe, self.appearance, self.namespace)

    @cached_property
    def for_panels(self) -> npt.NDArray[np.uint8]:
        """The same no larger than a panel shows them."""
        return for_panels(self.images, self.inputs.ndim - 2)

    @cached_property
    def for_filmstrips(self) -> npt.NDArray[np.uint8]:
        """The same no larger than a filmstrip shows them."""
        return for_filmstrips(self.images, self.inputs.ndim - 2)

    @cached_property
    def volumes(self) -> npt.NDArray[np.uint8] | None:
        """Of volumes, a picture of every slice, ``uint8 [N, D, H, W, 1 or 3]``."""
        return probe_volumes(self.inputs, self.probe, self.appearance)

    @cached_property
    def axis_names(self) -> tuple[str, ...] | None:
        """Names of the spatial axes, where they are known."""
        return axis_names(self.inputs, self.layout, self.appearance)

    def evolutions(
        self, histories: Mapping[str, MethodHistory], names: Sequence[str], explained: Outlines | None
    ) -> dict[str, Callable[[], npt.NDArray[np.uint8]]]:
        """Return what draws the animation of each method that has several frames.

        Args:
            histories: Method → what was kept of it.
            names: Names of the samples.
            explained: Where what is explained lies.
        """
        spatial = self.inputs.shape[2:]
        marks, sheet = marks_of(explained, spatial), sheet_of(spatial)
        return {
            method: FramePictures(
                method,
                history.frames.shown,
                self.for_filmstrips,
                names,
                history.scale,
                self.appearance,
                sheet,
                self.axis_names,
                marks,
            ).evolution
            for method, history in histories.items()
            if history.scale is not None and len(history.frames.shown) > 1
        }

    def view(self, class_names: tuple[str, ...] | None) -> ProbeView:
        """Return what sinks are given of the probe."""
        volumes = self.volumes
        images = self.images if volumes is None else _in_color(volumes[:, volumes.shape[1] // 2])
        return ProbeView(
            fingerprint=self.probe.fingerprint,
            ids=self.probe.ids,
            images=torch.from_numpy(images),
            labels=self.probe.labels,
            class_names=class_names,
            masks=self.probe.masks,
            groups=self.probe.groups,
            volumes=None if volumes is None else torch.from_numpy(volumes),
            axis_names=self.axis_names,
        )


def _in_color(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return pictures ``[N, H, W, 1 or 3]`` with three channels."""
    return np.ascontiguousarray(np.broadcast_to(pictures, (*pictures.shape[:3], 3)))
