"""Maps → 8-bit grey pictures, as large and as good as a budget of bytes allows."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from saliency_callbacks.report.monitors import ExplainedObservation, Monitor
from saliency_callbacks.sinks.disk.array_file import Array
from saliency_callbacks.sinks.disk.shown import Maps, shrink

__all__ = [
    "LONGEST_SIDES",
    "Quality",
    "choose_quality",
    "encode_picture",
    "encode_text",
    "shared_scales",
    "sheet",
    "sprite",
]

LONGEST_SIDES = (256, 224, 192, 160, 144, 128, 112, 96, 80, 64, 48, 32)
"""Sizes of the largest side, in the order in which they are tried."""

_WEBP_QUALITY = 80
_LOSSY_FROM = 64
_TRIED = 3
_TRIED_SAMPLES = 4


@dataclass(frozen=True)
class Quality:
    """How maps are stored.

    Args:
        longest_side: Largest height or width of a map.
        lossless: Whether WebP keeps every level.
        stride: 1 to show every observation, 2 to show every other one, and so on.
    """

    longest_side: int
    lossless: bool
    stride: int = 1


def choose_quality(monitors: Sequence[Monitor], budget: float) -> Quality:
    """Return the best quality at which the maps of ``monitors`` are likely to fit into ``budget`` bytes of base64."""
    observations = [(monitor, observation) for monitor in monitors for observation in monitor.observations]
    if not observations or all(monitor.probe.images is None for monitor in monitors):
        return Quality(LONGEST_SIDES[0], lossless=True)
    spread = {round(at * (len(observations) - 1)) for at in np.linspace(0, 1, _TRIED)}
    tried = [observations[index] for index in sorted(spread)]
    largest = max(max(maps.cells.shape[-2:]) for _, observation in tried for maps in observation.maps.values())
    for quality in [Quality(largest, lossless=True), *(Quality(side, lossless=False) for side in LONGEST_SIDES)]:
        if quality.longest_side <= largest and _estimate(tried, len(observations), quality) <= budget:
            return quality
    smallest = Quality(min(largest, LONGEST_SIDES[-1]), lossless=False)
    excess = _estimate(tried, len(observations), smallest) / max(budget, 1)
    return Quality(smallest.longest_side, lossless=False, stride=math.ceil(excess))


def _estimate(tried: Sequence[tuple[Monitor, ExplainedObservation]], count: int, quality: Quality) -> float:
    total = 0.0
    for maps in (maps for _, observation in tried for maps in observation.maps.values()):
        first = slice(_TRIED_SAMPLES)
        some = Maps(maps.cells[first], maps.peak[first], maps.full[first], maps.degenerate[first])
        total += len(sprite(some, some.full, quality)["data"]) * len(maps.peak) / len(some.peak)
    # The estimate is based on a few samples of a few observations; others may have finer maps.
    return 1.05 * total / len(tried) * count


def shared_scales(observations: Sequence[ExplainedObservation], method: str) -> Array:
    """Return the value of each sample that gets the full color on a scale shared by ``observations``, ``[N]``."""
    return np.asarray(np.stack([one.scales[method].full for one in observations if method in one.scales]).max(axis=0))


def sprite(maps: Maps, shared: Array, quality: Quality) -> dict[str, Any]:
    """Return all samples of one method and observation as one picture.

    A level g stands for ``clip · (g / 255)²``: the square root spends the 256 levels where most of a map's values are.
    Values above both scales are drawn in the same color and need not be kept.

    Args:
        maps: The maps ``[N, h, w]``, or of volumes ``[N, slices, h, w]``.
        shared: Full color on the shared scale ``[N]``.
        quality: Size and loss.

    Returns:
        ``data`` (base64 of a WebP), ``columns``, ``width`` and ``height`` of one map, how many ``slices`` of each
        sample follow each other, and for each sample ``clip`` and ``full``, its own full color.
    """
    small = shrink(maps, quality.longest_side)
    clip = np.minimum(small.peak, np.maximum(small.full, shared))
    divisor = np.divide(clip, small.peak, out=np.ones_like(clip), where=clip > 0).reshape(
        -1, *[1] * (small.cells.ndim - 1)
    )
    unit = np.clip(small.cells.astype(np.float32) / divisor, 0, 1)
    levels = np.round(np.sqrt(unit) * 255).astype(np.uint8)
    height, width = levels.shape[-2:]
    lossless = quality.lossless or max(height, width) <= _LOSSY_FROM // 2
    picture, columns = sheet(levels.reshape(-1, height, width))
    return {
        "data": encode_picture(picture, lossless=lossless),
        "columns": columns,
        "width": width,
        "height": height,
        "slices": levels.shape[1] if maps.is_sliced else 1,
        "clip": _numbers(clip),
        "full": _numbers(small.full),
        "empty": maps.degenerate.tolist(),
    }


def encode_text(maps: Maps) -> dict[str, Any]:
    """Return the signed scores of words: ``data``, base64 of ``int8 [N, W]`` in 1/127 of each sample's ``clip``."""
    levels = np.round(maps.cells[:, 0].astype(np.float32) * 127).astype(np.int8)
    return {
        "data": base64.b64encode(levels.tobytes()).decode(),
        "width": levels.shape[1],
        "clip": _numbers(maps.peak),
        "full": _numbers(maps.full),
        "empty": maps.degenerate.tolist(),
    }


def encode_picture(picture: npt.NDArray[np.uint8], *, lossless: bool, quality: int = _WEBP_QUALITY) -> str:
    """Return a grey or RGB picture as base64 of a WebP."""
    buffer = io.BytesIO()
    if lossless:
        Image.fromarray(picture).save(buffer, "webp", lossless=True, quality=50, method=2)
    else:
        Image.fromarray(picture).save(buffer, "webp", quality=quality, method=2)
    return base64.b64encode(buffer.getvalue()).decode()


def sheet(levels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], int]:
    """Put ``[N, h, w]`` or ``[N, h, w, 3]`` into one picture, row by row and nearly square.

    Returns:
        The picture, and its number of columns.
    """
    count, height, width, *color = levels.shape
    columns = max(1, min(count, round(math.sqrt(count * height / width))))
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, height, width, *color), dtype=np.uint8)
    padded[:count] = levels
    grid = padded.reshape(rows, columns, height, width, *color).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * height, columns * width, *color)), columns


def _numbers(values: Array) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]
