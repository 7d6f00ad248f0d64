"""Boxes and masks on disk, beside the maps of an observation.

In its file, ``outlines/explained/boxes`` and ``outlines/explained/masks`` are those of what is explained, and
``outlines/localized/{method}/…`` those that were found in the maps of a method. Boxes are ``float32 [N, 4]`` in pixels
of the explained input. Masks are bits: ``uint8 [N, bytes]``, each sample's positions in their order, eight to a byte.
The size of the explained input, and names where there are any, are in the index.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.resampling import nearest
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.disk.array_file import Array, ArrayFile
from saliency_callbacks.sinks.disk.entries import ObservationEntry
from saliency_callbacks.sinks.disk.shown import Plane

__all__ = ["EXPLAINED", "PART", "StoredOutlines", "read_stored_outlines", "stored_outlines"]

EXPLAINED = "explained"
"""Key of the outlines of what is explained; those that were found in maps have ``localized/{method}``."""

PART = "outlines"
"""First part of the names of their arrays."""


@dataclass(frozen=True, eq=False)
class StoredOutlines:
    """:class:`~saliency_callbacks.types.Outlines` of arrays.

    Args:
        size: Size of the explained input, in whose pixels boxes are.
        boxes: ``float32 [N, 4]``.
        masks: ``bool [N, *spatial]``; of any size that has been chosen for them.
        names: One for each sample.
    """

    size: tuple[int, ...]
    boxes: Array | None = None
    masks: npt.NDArray[np.bool_] | None = None
    names: tuple[str, ...] | None = None

    def cut(self, planes: Sequence[Plane]) -> StoredOutlines:
        """Return them with slices of the masks of volumes, ``[N, slices, h, w]``."""
        if self.masks is None:
            return self
        slices = []
        for plane in planes:
            axis = 1 + plane.axis
            place = int((plane.index + 0.5) * self.masks.shape[axis] / plane.count)
            slices.append(np.take(self.masks, place, axis))
        return replace(self, masks=np.stack(slices, axis=1))

    def shrunk(self, longest_side: int) -> StoredOutlines:
        """Return them with masks of at most ``longest_side`` pixels per side; all slices of volumes stay."""
        if self.masks is None or max(self.masks.shape[-2:]) <= longest_side:
            return self
        *above, height, width = self.masks.shape
        factor = longest_side / max(height, width)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        small = nearest(self.masks.reshape(-1, height, width).view(np.uint8), size)
        return replace(self, masks=small.reshape(*above, *size) > 0)


def read_stored_outlines(
    file: ArrayFile, entry: ObservationEntry, keys: Collection[str] | None = None
) -> dict[str, StoredOutlines]:
    """Read the outlines of an observation; none where it has none, as those of earlier versions.

    Args:
        file: The file of its maps.
        entry: Its entry in the index.
        keys: Those that are read; by default all.

    Raises:
        ConfigurationError: If they cannot be read.
    """
    wanted = [key for key in entry.get("outlines", {}) if keys is None or key in keys]
    names = [f"{PART}/{key}/{name}" for key in wanted for name in ("boxes", "masks")]
    found = stored_outlines({name: file.read(name) for name in names if name in file}, entry)
    return {key: found[key] for key in wanted}


def stored_outlines(arrays: Mapping[str, Array], entry: ObservationEntry) -> dict[str, StoredOutlines]:
    """Return the outlines of an observation by their keys.

    Args:
        arrays: Its arrays by their names on disk.
        entry: Its entry in the index.

    Raises:
        ConfigurationError: If they do not fit each other.
    """
    found = {}
    for key, facts in entry.get("outlines", {}).items():
        size, names = tuple(facts["size"]), facts["names"]
        packed = arrays.get(f"{PART}/{key}/masks")
        found[key] = StoredOutlines(
            size,
            arrays.get(f"{PART}/{key}/boxes"),
            None if packed is None else _unpacked(packed, size, key),
            None if names is None else tuple(names),
        )
    return found


def _unpacked(packed: Array, size: Sequence[int], key: str) -> npt.NDArray[np.bool_]:
    count = int(np.prod(size))
    if packed.ndim != 2 or packed.shape[1] != -(-count // 8):
        raise ConfigurationError(
            f"the masks of {key} have the shape {list(packed.shape)}, which is not that of masks of {list(size)}; "
            "expected what DiskSink writes. Copy the whole directory, index and maps together"
        )
    bits = np.unpackbits(packed, axis=1, count=count)
    return bits.view(np.bool_).reshape(len(packed), *size)
