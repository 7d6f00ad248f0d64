"""Boxes and masks as the page has them, beside the maps of a method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from saliency_callbacks.report.pictures.samples import mask_sheet
from saliency_callbacks.sinks.disk.array_file import Array
from saliency_callbacks.sinks.disk.entries import ObservationEntry
from saliency_callbacks.sinks.disk.outlines import EXPLAINED, StoredOutlines

__all__ = ["outline_facts", "outline_keys", "outline_sheets"]


def outline_keys(method: str) -> dict[str, str]:
    """Return what each kind of outline that is drawn on the maps of a method is called on disk."""
    return {"target": EXPLAINED, "found": f"localized/{method}"}


def outline_sheets(outlines: Mapping[str, StoredOutlines], method: str, count: int) -> dict[str, Any]:
    """Return what is drawn on the maps of a method, by its kind.

    Args:
        outlines: Those of the observation by their keys, of volumes with the masks of the slices that are shown.
        method: Name of the method.
        count: Number of samples; what is of another number belongs to others.

    Returns:
        Of each kind its ``boxes``, one a sample as shares ``[x0, y0, x1, y1]`` of width and height or ``null``, and its
        ``masks``, one black and white picture or ``null``.
    """
    found = {kind: outlines[key] for kind, key in outline_keys(method).items() if key in outlines}
    sheets = {kind: {"boxes": _boxes(one, count), "masks": _masks(one, count)} for kind, one in found.items()}
    return {kind: sheet for kind, sheet in sheets.items() if sheet["boxes"] is not None or sheet["masks"] is not None}


def outline_facts(entry: ObservationEntry) -> dict[str, Any]:
    """Return which kinds of outlines an observation has, and what the explained ones are called."""
    listed = entry.get("outlines", {})
    explained = listed.get(EXPLAINED)
    kinds = [*(["target"] if explained else []), *(["found"] if any(key != EXPLAINED for key in listed) else [])]
    return {"outlines": kinds, "names": explained["names"] if explained else None}


def _boxes(outlines: StoredOutlines, count: int) -> list[list[float] | None] | None:
    boxes = outlines.boxes
    if boxes is None or boxes.shape != (count, 4) or len(outlines.size) != 2:
        return None
    height, width = outlines.size
    return [_shares(box, [width, height, width, height]) for box in boxes]


def _shares(box: Array, sides: Sequence[int]) -> list[float] | None:
    shares = [float(f"{edge / side:.5f}") for edge, side in zip(box.tolist(), sides, strict=True)]
    return shares if all(map(math.isfinite, shares)) else None


def _masks(outlines: StoredOutlines, count: int) -> dict[str, Any] | None:
    masks = outlines.masks
    if masks is None or len(masks) != count or masks.ndim > 4:
        return None
    *_, height, width = (1, *masks.shape[1:])
    return mask_sheet(masks.reshape(count, -1, height, width))
