"""Everything that a report needs from one run, read once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from saliency_callbacks.arrays.slices import evenly_spaced
from saliency_callbacks.report.monitors import Monitor, read_monitor, volume_size, with_maps
from saliency_callbacks.report.pictures.sprites import LONGEST_SIDES
from saliency_callbacks.report.pictures.statistics import class_pictures
from saliency_callbacks.report.runs import Archive, RunDirectory

__all__ = ["Contents", "read_contents"]

# Maps at less than one bit per pixel are not worth keeping in memory: they would not fit into the file either.
_LEAST_BITS = 1.0
# Slices are left out rather than made smaller than this, and made smaller rather than fewer than these.
_SLICE_SIDE = 64
_FEWEST_SLICES = 9
# More would take minutes to encode; the live page has all.
_FILE_SLICES = 33


@dataclass(frozen=True, eq=False)
class Contents:
    """A run and its monitors.

    Args:
        run: What was found in its directory.
        monitors: Its monitors with maps that could be read.
        notes: What was left out, and why.
        class_pictures: Of monitors with a large probe, pictures of its classes.
    """

    run: RunDirectory
    monitors: tuple[Monitor, ...]
    notes: tuple[str, ...]
    class_pictures: tuple[dict[str, str], ...] = ()


def read_contents(run: RunDirectory, budget: float, beside: Sequence[RunDirectory] = ()) -> Contents:
    """Read the maps of a run, no larger than can fit into ``budget`` bytes.

    Args:
        run: The run.
        budget: Bytes for its maps.
        beside: The runs that it is shown with; the same slices of volumes are read of all.
    """
    bits = _bits(run, budget)
    most = _most_slices(min((_bits(one, budget) for one in beside), default=bits))
    read = [monitor for archive in run.archives if (monitor := _read(archive, bits, most)) is not None]
    monitors = tuple(monitor for monitor in read if monitor.observations)
    of_classes = [class_pictures(monitor) for monitor in monitors]
    notes = [*run.notes, *(note for monitor in read for note in monitor.notes)]
    notes += [note for _, undrawn in of_classes for note in undrawn]
    return Contents(
        run, monitors, tuple(notes), class_pictures=tuple(one for pictures, _ in of_classes for one in pictures)
    )


def _read(archive: Archive, bits: float, most: int) -> Monitor | None:
    """Read an archive of which each map may take that many bits, and have ``most`` slices."""
    depth = _depth(archive)
    shown = min(depth, most)
    monitor = read_monitor(archive, with_maps(_longest_side(bits / shown), most))
    if monitor is None:
        return None
    if monitor.probe.volumes is None:
        return monitor
    notes = list(monitor.notes)
    if shown < depth:
        notes.append(
            f"{archive.name}: to keep the file small, {shown} of {depth} slices are in it, evenly spaced; the "
            "live page (saliency-callbacks view, or TensorBoard's tab) has all."
        )
    return replace(monitor, notes=tuple(notes), slices=evenly_spaced(depth, most))


def _bits(run: RunDirectory, budget: float) -> float:
    maps = sum(
        len(entry["methods"]) * len(entry["ids"])
        for archive in run.archives
        if archive.probe is not None
        for entry in archive.observations
    )
    return 8 * budget / max(maps, 1)


def _depth(archive: Archive) -> int:
    """Return the number of slices of an archive's maps; 1 where they are no volumes."""
    size = volume_size(archive)
    return 1 if size is None else size[0]


def _most_slices(bits: float) -> int:
    """Return an odd number: the middle slice is then among them, the only one that a run of an earlier version has."""
    fitting = int(bits / (_LEAST_BITS * _SLICE_SIDE**2))
    return min(_FILE_SLICES, max(_FEWEST_SLICES, fitting - 1 + fitting % 2))


def _longest_side(bits: float) -> int:
    return int(min(LONGEST_SIDES[0], max(LONGEST_SIDES[-1], math.sqrt(bits / _LEAST_BITS))))
