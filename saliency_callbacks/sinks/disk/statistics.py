"""The statistics of a large probe on disk, beside the maps of the samples that are shown.

In the file of an observation, ``statistics/{name}`` holds a field of
:class:`~saliency_callbacks.types.ProbeStatistics`, ``statistics/samples/{tag}`` the values behind a score,
``statistics/maps/{method}/{name}`` a field of the maps of its classes, and ``statistics/mistakes/{name}`` and
``statistics/mistakes/maps/{method}`` those of the surest mistakes. What is no tensor is in the index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from saliency_callbacks.sinks.disk.entries import ObservationEntry
from saliency_callbacks.types import ClassMaps, Mistakes, ProbeStatistics

__all__ = ["read_statistics", "statistics_tensors"]

_PART = "statistics/"
_COLUMNS = ("positions", "class_indices", "images", "labels", "predictions", "confidences")
_OF_CLASSES = ("mean", "mean_rank", "counts")
_OF_MISTAKES = ("positions", "labels", "predictions", "confidences", "images")


def statistics_tensors(statistics: ProbeStatistics) -> dict[str, Tensor]:
    """Return the tensors of statistics under the names that they have on disk."""
    found = {name: getattr(statistics, name) for name in _COLUMNS}
    found.update({f"samples/{tag}": values for tag, values in statistics.sample_scores.items()})
    for method, maps in statistics.maps.items():
        found.update({f"maps/{method}/{name}": getattr(maps, name) for name in _OF_CLASSES})
    mistakes = statistics.mistakes
    if mistakes is not None:
        found.update({f"mistakes/{name}": getattr(mistakes, name) for name in _OF_MISTAKES})
        found.update({f"mistakes/maps/{method}": maps for method, maps in mistakes.maps.items()})
    return {_PART + name: tensor for name, tensor in found.items() if tensor is not None}


def read_statistics(tensors: Mapping[str, Tensor], entry: ObservationEntry) -> ProbeStatistics | None:
    """Return the statistics of an observation; ``None`` where it has none.

    Args:
        tensors: What :func:`~saliency_callbacks.sinks.read_maps` returned for it.
        entry: Its entry in the index.

    Raises:
        KeyError: If a tensor of its maps is missing.
    """
    if "classes" not in entry:
        return None
    found = {name.removeprefix(_PART): tensor for name, tensor in tensors.items() if name.startswith(_PART)}
    columns: dict[str, Any] = {name: found.get(name) for name in _COLUMNS}
    return ProbeStatistics(
        **columns,
        sample_scores=_below("samples/", found),
        classes=tuple(entry["classes"]),
        maps={
            method: ClassMaps(**{name: found[f"maps/{method}/{name}"] for name in _OF_CLASSES})
            for method in entry["methods"]
            if f"maps/{method}/mean" in found
        },
        mistakes=_mistakes(found),
        unreadable=entry.get("unreadable", {}),
    )


def _mistakes(found: Mapping[str, Tensor]) -> Mistakes | None:
    if "mistakes/positions" not in found:
        return None
    columns = {name: found[f"mistakes/{name}"] for name in _OF_MISTAKES}
    return Mistakes(**columns, maps=_below("mistakes/maps/", found))


def _below(part: str, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(part): tensor for name, tensor in found.items() if name.startswith(part)}
