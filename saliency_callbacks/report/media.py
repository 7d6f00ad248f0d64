"""How the page gets what is large: within the file, or, while it is looked at, by an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from saliency_callbacks.report.monitors import ExplainedObservation, Monitor
from saliency_callbacks.report.pictures.outlines import outline_sheets
from saliency_callbacks.report.pictures.samples import slice_pictures
from saliency_callbacks.report.pictures.sprites import Quality, encode_text, sprite
from saliency_callbacks.report.pictures.stored_pictures import embedded_picture
from saliency_callbacks.sinks.disk.array_file import Array

__all__ = ["Embedded", "Medium"]


class Medium(Protocol):
    """What stands for maps and pictures in the payload."""

    @property
    def stride(self) -> int:
        """1 to show every observation, 2 to show every other one, and so on."""

    def maps(
        self, observation: ExplainedObservation, shared: Mapping[str, Array], *, is_text: bool
    ) -> dict[str, dict[str, Any]]:
        """Return what stands for the maps of one observation, by method."""

    def slices(self, monitor: Monitor) -> dict[str, Any]:
        """Return what stands for ``pictures`` and ``masks`` of the slices of volumes."""

    def picture(self, directory: Path, file: str) -> dict[str, str] | None:
        """Return what stands for a file in the directory of an archive; ``None`` where it cannot be read."""


@dataclass(frozen=True)
class Embedded:
    """Everything is within the file.

    Args:
        quality: How maps are stored; ``None`` for no maps.
    """

    quality: Quality | None

    @property
    def stride(self) -> int:
        """See :class:`Medium`."""
        return 1 if self.quality is None else self.quality.stride

    def maps(
        self, observation: ExplainedObservation, shared: Mapping[str, Array], *, is_text: bool
    ) -> dict[str, dict[str, Any]]:
        """Return sprites, or words."""
        if self.quality is None:
            return {}
        if is_text:
            return {method: encode_text(found) for method, found in observation.maps.items()}
        return {
            method: {
                **sprite(found, shared[method], self.quality),
                "outlines": outline_sheets(observation.outlines, method, len(found.peak)),
            }
            for method, found in observation.maps.items()
        }

    def slices(self, monitor: Monitor) -> dict[str, Any]:
        """Return those whose maps were read."""
        assert monitor.slices is not None, "of what is within the file"
        return slice_pictures(monitor.probe, 0, monitor.slices)

    def picture(self, directory: Path, file: str) -> dict[str, str] | None:
        """Return ``{"data"}``, base64 of a WebP."""
        return embedded_picture(directory, file)
