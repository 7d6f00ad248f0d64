"""The samples of a probe as the page has them: pictures, of volumes slice by slice, and masks."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from saliency_callbacks.report.pictures.sprites import encode_picture, sheet
from saliency_callbacks.sinks.disk.array_file import Array
from saliency_callbacks.sinks.disk.arrays import StoredProbe

__all__ = ["has_masks", "mask_sheet", "picture_size", "sample_pictures", "slice_pictures"]

_LARGEST_PICTURE = 320
_LOSSLESS_PICTURE = 64


@lru_cache(maxsize=4)  # they do not change while observations are added
def sample_pictures(probe: StoredProbe) -> dict[str, Any]:
    """Return ``pictures`` and ``masks`` of samples that have one picture each; ``None`` for what there is not.

    Of volumes of which an earlier version kept one, that is the middle slice.

    Returns:
        ``pictures`` has for each sample ``data``, base64 of a WebP with its ``slices`` in ``columns``, each of
        ``width`` and ``height``; ``masks`` are one black and white picture of all samples.
    """
    if probe.images is None:
        return {"pictures": None, "masks": None}
    return {"pictures": _pictures(probe.images[:, None]), "masks": _masks_of_pictures(probe.masks)}


def slice_pictures(probe: StoredProbe, axis: int, slices: Sequence[int]) -> dict[str, Any]:
    """Return ``pictures`` and ``masks`` of the same form for slices of volumes.

    Args:
        probe: What was explained.
        axis: The spatial axis across which volumes are cut.
        slices: Which slices along it, from 0.
    """
    volumes, masks = probe.volumes, probe.masks
    assert volumes is not None, "of volumes"
    found = None
    if has_masks(probe) and masks is not None:
        factor = masks.shape[1 + axis] / volumes.shape[1 + axis]
        found = mask_sheet(_cut(masks, axis, [int((index + 0.5) * factor) for index in slices]))
    return {"pictures": _pictures(_cut(volumes, axis, slices)), "masks": found}


def has_masks(probe: StoredProbe) -> bool:
    """Return whether volumes have masks that can be cut as they are."""
    masks, volumes = probe.masks, probe.volumes
    return masks is not None and volumes is not None and masks.ndim == volumes.ndim - 1 and bool(masks.any())


def picture_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of a picture in the page.

    Example:
        >>> picture_size(64, 640)
        (32, 320)
    """
    factor = min(1.0, _LARGEST_PICTURE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _masks_of_pictures(masks: Array | None) -> dict[str, Any] | None:
    if masks is None or masks.ndim not in (3, 4):
        return None
    return mask_sheet(masks[:, None] if masks.ndim == 3 else _cut(masks, 0, [masks.shape[1] // 2]))


def _cut(volumes: Array, axis: int, slices: Sequence[int]) -> npt.NDArray[Any]:
    """Return ``[N, slices, h, w, …]`` of ``[N, D, H, W, …]``."""
    return np.moveaxis(np.take(volumes, list(slices), 1 + axis), 1 + axis, 1)


def _pictures(images: Array) -> dict[str, Any]:
    """Return pictures ``[N, slices, H, W, 1 or 3]``, one sheet for each sample."""
    lossless = max(images.shape[2:4]) <= _LOSSLESS_PICTURE
    height, width = picture_size(*images.shape[2:4])
    data, columns = [], 1
    for slices in images:
        levels, columns = sheet(np.stack([_resized(one, (width, height)) for one in slices]))
        data.append(encode_picture(levels, lossless=lossless, quality=85))
    return {"data": data, "width": width, "height": height, "columns": columns, "slices": images.shape[1]}


def _resized(picture: Array, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    pixels = picture[..., 0] if picture.shape[-1] == 1 else picture
    return np.asarray(pixels if pixels.shape[1::-1] == size else Image.fromarray(pixels).resize(size))


def mask_sheet(masks: Array) -> dict[str, Any] | None:
    """Return masks ``[N, slices, h, w]`` as one black and white picture; ``None`` where they are empty."""
    if not masks.any():
        return None
    n_slices, height, width = masks.shape[1:]
    levels, columns = sheet((masks > 0).astype(np.uint8).reshape(-1, height, width) * 255)
    buffer = io.BytesIO()
    Image.fromarray(levels).convert("1").save(buffer, "png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"data": data, "columns": columns, "width": width, "height": height, "slices": n_slices}
