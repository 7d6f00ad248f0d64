"""The classes of a large probe as pictures: where each is looked at, and the mistakes that the model is surest of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from saliency_callbacks.arrays.resampling import display_maps
from saliency_callbacks.arrays.scales import Extremes, finite
from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering.colormap import overlay
from saliency_callbacks.rendering.grid import class_captions, mistake_captions
from saliency_callbacks.rendering.panel import Caption, panel
from saliency_callbacks.rendering.text import legible
from saliency_callbacks.report.monitors import Monitor, moment_of
from saliency_callbacks.report.pictures.sprites import encode_picture
from saliency_callbacks.sinks.disk.array_file import ArrayFile
from saliency_callbacks.sinks.disk.arrays import open_maps

__all__ = ["class_pictures", "draw_class_picture", "drawings_of"]

_MAPS, _MISTAKES = "statistics/maps/", "statistics/mistakes/maps/"


def class_pictures(monitor: Monitor) -> tuple[list[dict[str, str]], list[str]]:
    """Return pictures of a monitor's newest statistics as ``{"tag", "moment", "data"}``, and notes.

    Args:
        monitor: A monitor with maps that could be read.
    """
    found, notes = drawings_of(monitor)
    pictures = []
    try:
        for name, moment in found:
            data = encode_picture(draw_class_picture(monitor, name), lossless=False, quality=88)
            pictures.append({"tag": f"{monitor.archive.name}/{name}", "moment": moment, "data": data})
    except (ConfigurationError, InputError, KeyError, ValueError, RuntimeError) as error:
        return [], [*notes, _undrawn(monitor, error)]
    return pictures, notes


def drawings_of(monitor: Monitor) -> tuple[list[tuple[str, str]], list[str]]:
    """Return name and moment of each picture of a monitor's newest statistics, without drawing it, and notes."""
    entry = _newest(monitor)
    if entry is None:
        return [], []
    try:
        with open_maps(monitor.archive.directory, entry) as file:
            names = file.names
    except ConfigurationError as error:
        return [], [_undrawn(monitor, error)]
    found = [f"{method}/classes" for method in entry["methods"] if f"{_MAPS}{method}/mean_rank" in names]
    found += [f"{method}/mistakes" for method in entry["methods"] if f"{_MISTAKES}{method}" in names]
    return [(name, moment_of(entry)) for name in found], []


def draw_class_picture(monitor: Monitor, name: str) -> npt.NDArray[np.uint8]:
    """Draw one of the pictures.

    Args:
        monitor: Their monitor.
        name: One of :func:`drawings_of`.

    Raises:
        ConfigurationError: If what it shows cannot be read.
    """
    entry = _newest(monitor)
    if entry is None:
        raise ConfigurationError(f"{monitor.archive.name} has no class statistics; expected a streamed probe")
    known = monitor.probe.class_names or ()

    def class_name(index: int) -> str:
        return legible(known[index], f"class {index}") if index < len(known) else str(index)

    method, _, kind = name.rpartition("/")
    title = f"{method} · {moment_of(entry)}"
    with open_maps(monitor.archive.directory, entry) as file:
        if kind == "classes":
            return _classes(file, method, class_name, f"{title} · mean rank by class")
        return _mistakes(file, method, class_name, f"{title} · most confident mistakes")


def _classes(file: ArrayFile, method: str, class_name: Callable[[int], str], title: str) -> npt.NDArray[np.uint8]:
    indices = file.read("statistics/class_indices").tolist()
    captions = class_captions(class_name, indices, file.read(f"{_MAPS}{method}/counts").tolist())
    # Half of the positions rank below the middle, whatever a map shows.
    heat = np.maximum(2 * file.read(f"{_MAPS}{method}/mean_rank").astype(np.float32) - 1, 0)
    return _drawn(heat, file.read("statistics/images"), captions, title)


def _mistakes(file: ArrayFile, method: str, class_name: Callable[[int], str], title: str) -> npt.NDArray[np.uint8]:
    columns = ("labels", "predictions", "confidences", "positions")
    rows = [file.read(f"statistics/mistakes/{column}").tolist() for column in columns]
    captions = mistake_captions(class_name, *rows)
    maps = file.read(f"{_MISTAKES}{method}").astype(np.float32)
    return _drawn(maps, file.read("statistics/mistakes/images"), captions, title)


def _drawn(maps: Any, pictures: Any, captions: list[Caption], title: str) -> npt.NDArray[np.uint8]:
    sizes = np.abs(maps)
    peak = Extremes.of(sizes).largest.reshape(-1, *[1] * (maps.ndim - 1))
    unit = np.divide(sizes, peak, out=np.zeros_like(sizes), where=peak > 0)
    heat = display_maps(finite(unit), (pictures.shape[1], pictures.shape[2]))
    return panel(
        pictures, overlay(pictures, heat), captions, title=title, style="overlay", scale_note="one scale per map"
    )


def _newest(monitor: Monitor) -> Any:
    return next((one.entry for one in reversed(monitor.observations) if "classes" in one.entry), None)


def _undrawn(monitor: Monitor, error: Exception) -> str:
    return f"{monitor.archive.name}: its class images cannot be drawn ({type(error).__name__}: {error})."
