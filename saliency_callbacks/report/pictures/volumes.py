"""What the page says of volumes and videos: along which axes slices are chosen, and what these are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saliency_callbacks.arrays.slices import axis_name, slice_noun
from saliency_callbacks.report.monitors import Monitor
from saliency_callbacks.report.pictures.samples import picture_size

__all__ = ["volume_facts"]

_AXES = range(3)


def volume_facts(monitor: Monitor) -> dict[str, Any] | None:
    """Return along which axes the slices of volumes can be chosen; ``None`` where there are none.

    The first is always among them. Another is not where a slice would be a line.

    Args:
        monitor: What was explained. In a file there are slices across the first axis alone.

    Returns:
        ``axes``, each with its number ``axis``, its ``name``, the ``plane`` that is seen, a ``noun``, the ``count`` of
        slices, those that are ``kept`` (``null`` for all), and ``width`` and ``height`` of a picture; and whether
        slices are ``lazy``, which is to say asked for when they are looked at.
    """
    size = monitor.volume_size
    if size is None:
        return None
    offered = _AXES if monitor.slices is None else _AXES[:1]
    axes = [axis for axis in offered if axis == 0 or all(size[other] > 1 for other in _others(axis))]
    names = monitor.probe.axis_names
    return {"axes": [_axis(axis, size, names, monitor.slices) for axis in axes], "lazy": monitor.slices is None}


def _axis(axis: int, size: Sequence[int], names: Sequence[str] | None, slices: Sequence[int] | None) -> dict[str, Any]:
    seen = _others(axis)
    height, width = picture_size(*(size[other] for other in seen))
    return {
        "axis": axis,
        "name": axis_name(axis, names),
        "plane": f"axes {seen[0]} × {seen[1]}" if names is None else " × ".join(names[other] for other in seen),
        "noun": slice_noun(names) if axis == 0 else "slice",
        "count": size[axis],
        "kept": None if slices is None else list(slices),
        "width": width,
        "height": height,
    }


def _others(axis: int) -> list[int]:
    return [other for other in _AXES if other != axis]
