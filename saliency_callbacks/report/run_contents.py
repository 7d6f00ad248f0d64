"""Everything that a report needs from one run, read once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from saliency_callbacks.report.monitors import Monitor, read_monitor, with_maps
from saliency_callbacks.report.pictures.sprites import LONGEST_SIDES
from saliency_callbacks.report.pictures.statistics import class_pictures
from saliency_callbacks.report.runs import RunDirectory

__all__ = ["Contents", "read_contents"]

# Maps at less than one bit per pixel are not worth keeping in memory: they would not fit into the file either.
_LEAST_BITS = 1.0


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


def read_contents(run: RunDirectory, budget: float) -> Contents:
    """Read the maps of a run, no larger than can fit into ``budget`` bytes."""
    read_maps = with_maps(_longest_side(run, budget))
    read = [monitor for archive in run.archives if (monitor := read_monitor(archive, read_maps)) is not None]
    monitors = tuple(monitor for monitor in read if monitor.observations)
    of_classes = [class_pictures(monitor) for monitor in monitors]
    notes = [*run.notes, *(note for monitor in read for note in monitor.notes)]
    notes += [note for _, undrawn in of_classes for note in undrawn]
    return Contents(
        run, monitors, tuple(notes), class_pictures=tuple(one for pictures, _ in of_classes for one in pictures)
    )


def _longest_side(run: RunDirectory, budget: float) -> int:
    maps = sum(
        len(entry["methods"]) * len(entry["ids"])
        for archive in run.archives
        if archive.probe is not None
        for entry in archive.observations
    )
    affordable = math.sqrt(8 * budget / max(maps, 1) / _LEAST_BITS)
    return int(min(LONGEST_SIDES[0], max(LONGEST_SIDES[-1], affordable)))
