"""What was found in earlier maps, small enough for a checkpoint, and drawn on the frames of a filmstrip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import Self, override

from saliency_callbacks.callbacks.runtime.state import Stateful
from saliency_callbacks.rendering.outlines.marks import Marks
from saliency_callbacks.rendering.outlines.placing import marks_of
from saliency_callbacks.types import Outlines

__all__ = ["FrameMarks"]


@dataclass(frozen=True)
class FrameMarks(Stateful):
    """The boxes and masks that were found in the maps of one observation.

    Args:
        boxes: Corners as shares of width and height, ``[N, 4]``; ``None`` where there are no boxes.
        regions: Masks as pictures of the size of a frame, ``bool [N, height, width]``; ``None`` where there are none.
    """

    boxes: Tensor | None = None
    regions: Tensor | None = None

    @classmethod
    def of(cls, outlines: Outlines | None, spatial: Sequence[int], size: Sequence[int]) -> Self | None:
        """Return outlines at the size of a frame; ``None`` where there is nothing to draw.

        Args:
            outlines: In pixels of the explained input.
            spatial: Its size.
            size: Height and width of the maps of a frame; of signals the width alone.
        """
        found = marks_of(outlines, spatial)
        if not found:
            return None
        boxes, regions = found[0].boxes, found[0].regions
        return cls(
            None if boxes is None else torch.from_numpy(boxes).float(),
            None if regions is None else _shrunk(torch.from_numpy(np.ascontiguousarray(regions)), [1, *size][-2:]),
        )

    def marks(self, rows: int) -> Marks:
        """Return what is drawn on the first ``rows`` samples."""
        boxes, regions = (None if part is None else part[:rows].numpy() for part in (self.boxes, self.regions))
        return Marks(boxes, regions, is_found=True)

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the marks with eight pixels of a mask to the byte."""
        if self.regions is None:
            return {"boxes": self.boxes}
        packed = torch.from_numpy(np.packbits(self.regions.flatten(1).numpy(), axis=1))
        return {"boxes": self.boxes, "packed": packed, "size": list(self.regions.shape[1:])}

    @classmethod
    @override
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        packed: Tensor | None = state.get("packed")
        if packed is None:
            return cls(state["boxes"])
        height, width = state["size"]
        unpacked = np.unpackbits(packed.numpy(), axis=1, count=height * width)
        return cls(state["boxes"], torch.from_numpy(unpacked).bool().reshape(-1, height, width))


def _shrunk(regions: Tensor, size: Sequence[int]) -> Tensor:
    if list(regions.shape[1:]) == list(size):
        return regions
    # As the maps are shrunk, of which the strongest pixel stands for its neighbors.
    return F.adaptive_max_pool2d(regions.float()[:, None], list(size))[:, 0] > 0
