"""Outlines in pixels of the explained input → what is drawn on tiles of any size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.rendering.outlines.marks import Marks
from saliency_callbacks.types import Outlines

__all__ = ["marks_of"]

_PICTURE_DIMENSIONS, _VOLUME_DIMENSIONS = 2, 3


def marks_of(outlines: Outlines | None, spatial: Sequence[int], *, is_found: bool = False) -> tuple[Marks, ...]:
    """Return outlines as marks; none where there are no outlines, or they are not those of such samples.

    Args:
        outlines: In pixels of the explained input.
        spatial: Size of the explained input. Of volumes, masks are arranged as the contact sheets of their slices.
        is_found: Whether they were found in a map.

    Example:
        >>> import torch
        >>> (marks,) = marks_of(Outlines(boxes=torch.tensor([[8.0, 0.0, 16.0, 4.0]])), (8, 32))
        >>> marks.boxes.tolist()
        [[0.25, 0.0, 0.5, 0.5]]
    """
    if outlines is None:
        return ()
    boxes = regions = None
    if outlines.boxes is not None and len(spatial) == _PICTURE_DIMENSIONS:
        height, width = spatial
        boxes = outlines.boxes.detach().cpu().double().numpy() / (width, height, width, height)
    if outlines.masks is not None and tuple(outlines.masks.shape[1:]) == tuple(spatial):
        regions = _as_pictures(outlines.masks.detach().cpu().numpy().astype(np.bool_))
    return () if boxes is None and regions is None else (Marks(boxes, regions, is_found),)


def _as_pictures(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return masks ``[N, *spatial]`` as the pictures of their samples are arranged, ``[N, H, W]``."""
    if masks.ndim - 1 == _VOLUME_DIMENSIONS:
        sheets: npt.NDArray[np.bool_] = ContactSheet.of(masks.shape[1:]).arranged(masks)
        return sheets
    return masks if masks.ndim - 1 == _PICTURE_DIMENSIONS else masks[:, None, :]
