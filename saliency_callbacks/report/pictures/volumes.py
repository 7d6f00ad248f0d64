"""What the page says of volumes and videos: along which axes slices are chosen, and what these are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saliency_callbacks.arrays.slices import axis_name, slice_noun
from saliency_callbacks.report.pictures.samples import picture_size
from saliency_callbacks.sinks.disk.arrays import StoredProbe

__all__ = ["volume_facts"]

_AXES = range(3)


def volume_facts(probe: StoredProbe, slices: Sequence[int] | None) -> dict[str, Any] | None:
    """Return along which axes the slices of volumes can be chosen; ``None`` where there are none.

    Args:
        probe: What was explained.
        slices: The slices across the first axis that are within a file; ``None`` where all are at hand.

    Returns:
        ``axes``, each with its ``name``, the ``plane`` that is seen, a ``noun``, the ``count`` of slices, those that
        are ``kept`` (``null`` for all), and ``width`` and ``height`` of a picture.
    """
    if probe.volumes is None:
        return None
    axes = _AXES if slices is None else _AXES[:1]
    return {"axes": [_axis(probe, axis, slices) for axis in axes], "lazy": slices is None}


def _axis(probe: StoredProbe, axis: int, slices: Sequence[int] | None) -> dict[str, Any]:
    assert probe.volumes is not None, "of volumes"
    sizes, names = probe.volumes.shape[1:4], probe.axis_names
    seen = [other for other in _AXES if other != axis]
    height, width = picture_size(*(sizes[other] for other in seen))
    return {
        "name": axis_name(axis, names),
        "plane": f"axes {seen[0]} × {seen[1]}" if names is None else " × ".join(names[other] for other in seen),
        "noun": slice_noun(names) if axis == 0 else "slice",
        "count": sizes[axis],
        "kept": None if slices is None else list(slices),
        "width": width,
        "height": height,
    }
