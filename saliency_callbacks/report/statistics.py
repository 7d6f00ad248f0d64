"""The classes of a large probe as pictures: where each is looked at, and the mistakes that the model is surest of."""

from __future__ import annotations

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering.statistics import statistics_drawings
from saliency_callbacks.rendering.text import legible
from saliency_callbacks.report.monitors import Monitor, moment_of
from saliency_callbacks.report.sprites import encode_picture
from saliency_callbacks.sinks import read_maps
from saliency_callbacks.sinks.disk.statistics import read_statistics

__all__ = ["class_pictures"]


def class_pictures(monitor: Monitor) -> tuple[list[dict[str, str]], list[str]]:
    """Return pictures of a monitor's newest statistics as ``{"tag", "moment", "data"}``, and notes.

    Args:
        monitor: A monitor with maps that could be read.
    """
    try:
        return _pictures(monitor), []
    except (ConfigurationError, InputError, KeyError, ValueError, RuntimeError) as error:
        return [], [f"{monitor.archive.name}: no pictures of its classes ({type(error).__name__}: {error})."]


def _pictures(monitor: Monitor) -> list[dict[str, str]]:
    entry = next((one.entry for one in reversed(monitor.observations) if "classes" in one.entry), None)
    statistics = None if entry is None else read_statistics(read_maps(monitor.archive.directory, entry), entry)
    if entry is None or statistics is None:
        return []
    known = monitor.probe.class_names or ()

    def class_name(index: int) -> str:
        return legible(known[index], f"class {index}") if index < len(known) else str(index)

    moment = moment_of(entry)
    return [
        {
            "tag": f"{monitor.archive.name}/{name}",
            "moment": moment,
            "data": encode_picture(draw(), lossless=False, quality=88),
        }
        for name, draw in statistics_drawings(statistics, class_name, moment).items()
    ]
