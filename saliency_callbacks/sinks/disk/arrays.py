"""Probe, maps and what belongs to them, read back as arrays where there is no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.disk.archive import inside
from saliency_callbacks.sinks.disk.array_file import Array, ArrayFile
from saliency_callbacks.sinks.disk.entries import MethodEntry, ObservationEntry, ProbeEntry
from saliency_callbacks.sinks.disk.shown import SCALE_NAMES, Maps, Plane, Scales, magnitude_of, shown_maps, volume_maps

__all__ = ["StoredProbe", "open_maps", "read_scales", "read_shown_maps", "read_stored_probe"]

_VOLUME_DIMENSIONS = 3
_ARRAYS = ("images", "volumes", "labels", "masks")


@dataclass(frozen=True, eq=False)
class StoredProbe:
    """The probe as people look at it: a :class:`~saliency_callbacks.types.ProbeView` of arrays."""

    fingerprint: str
    ids: tuple[str, ...]
    images: Array | None = None
    tokens: tuple[tuple[str, ...], ...] | None = None
    special: tuple[tuple[bool, ...], ...] | None = None
    labels: Array | None = None
    class_names: tuple[str, ...] | None = None
    masks: Array | None = None
    groups: tuple[str, ...] | None = None
    volumes: Array | None = None
    axis_names: tuple[str, ...] | None = None

    @property
    def picture_width(self) -> int | None:
        """Width of the samples' pictures; ``None`` for text inputs."""
        return None if self.images is None else int(self.images.shape[2])


def read_stored_probe(directory: Path, entry: ProbeEntry) -> StoredProbe:
    """Read the probe that was explained.

    Raises:
        ConfigurationError: If the file is missing, damaged or outside the directory.
    """
    with ArrayFile(inside(directory, entry["file"]), "the probe") as file:
        found = {name: file.read(name) for name in _ARRAYS if name in file}
    tokens, special, names, groups = entry["tokens"], entry["special"], entry["class_names"], entry["groups"]
    return StoredProbe(
        fingerprint=entry["fingerprint"],
        ids=tuple(entry["ids"]),
        tokens=None if tokens is None else tuple(map(tuple, tokens)),
        special=None if special is None else tuple(map(tuple, special)),
        class_names=None if names is None else tuple(names),
        groups=None if groups is None else tuple(groups),
        axis_names=tuple(entry["axis_names"]) if "axis_names" in entry else None,
        **found,
    )


def open_maps(directory: Path, entry: ObservationEntry) -> ArrayFile:
    """Open the file of an observation.

    Raises:
        ConfigurationError: If the maps were removed, or the file is missing, damaged or outside the directory.
    """
    if entry["file"] is None:
        raise ConfigurationError(f"the maps of step {entry['step']} were removed. Keep more with keep_maps='all'")
    return ArrayFile(inside(directory, entry["file"]), f"the maps of step {entry['step']}")


def read_shown_maps(file: ArrayFile, method: str, facts: MethodEntry, probe: StoredProbe, longest_side: int) -> Maps:
    """Read the maps of one method as they are shown; of volumes all slices, where the probe has pictures of these.

    Args:
        file: The file of their observation.
        method: Name of the method.
        facts: What the index says of it.
        probe: What was explained.
        longest_side: Largest height or width of maps of pictures; those of volumes keep their size.

    Raises:
        ConfigurationError: If they cannot be read, or are not those of the probe.
    """
    values = file.read(f"{method}/values")
    known = read_scales(file, method, probe) if _is_of_volumes(facts) else None
    if known is not None and probe.volumes is not None and len(values) == len(probe.ids):
        return volume_maps(values, facts, known)
    magnitude = file.read(f"{method}/magnitude") if facts["reduction"] is None else magnitude_of(values, facts)
    if len(values) != len(probe.ids) or len(magnitude) != len(probe.ids):
        raise ConfigurationError(f"the maps of {method} have {len(values)} samples, but the probe has {len(probe.ids)}")
    maps = shown_maps(values, magnitude, facts, probe.picture_width, longest_side)
    if maps.is_sliced and probe.volumes is None:
        # Versions that kept the pictures of the middle slice alone.
        depth = maps.cells.shape[1]
        return maps.cut(Plane(0, depth // 2, depth))
    return maps


def _is_of_volumes(facts: MethodEntry) -> bool:
    return len(facts["size"]) == _VOLUME_DIMENSIONS and facts["reduction"] is not None


def read_scales(file: ArrayFile, method: str, probe: StoredProbe) -> Scales | None:
    """Read what is known of the maps of one method without reading them; ``None`` where earlier versions wrote them.

    Raises:
        ConfigurationError: If it cannot be read, or is not that of the probe.
    """
    names = [f"{method}/shown/{name}" for name in SCALE_NAMES]
    if not all(name in file for name in names):
        return None
    found = Scales(*map(file.read, names))
    count = len(found.peak)
    if count != len(probe.ids):
        raise ConfigurationError(f"the maps of {method} have {count} samples, but the probe has {len(probe.ids)}")
    return found
