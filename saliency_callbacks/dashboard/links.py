"""Maps and pictures by address: they are read when they are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from saliency_callbacks.report.monitors import ExplainedObservation, Monitor
from saliency_callbacks.report.pictures.samples import has_masks
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.sinks.disk.array_file import Array

__all__ = ["Links", "drawing_address"]


@dataclass(frozen=True)
class Links:
    """Implements :class:`~saliency_callbacks.report.media.Medium`.

    Args:
        archives: Directory of an archive → id of its run and its name in there.
    """

    archives: Mapping[Path, tuple[str, str]]
    stride: int = 1

    def maps(
        self, observation: ExplainedObservation, shared: Mapping[str, Array], *, is_text: bool
    ) -> dict[str, dict[str, Any]]:
        """Return that there are maps, by method; their address follows from where they stand."""
        return {method: {"lazy": True} for method in observation.scales}

    def slices(self, monitor: Monitor) -> dict[str, Any]:
        """Return that there are pictures; their address follows from the slice that is looked at."""
        return {"pictures": {"lazy": True}, "masks": {"lazy": True} if has_masks(monitor.probe) else None}

    def picture(self, directory: Path, file: str) -> dict[str, str] | None:
        """Return ``{"url"}``, relative to the page."""
        run, archive = self.archives[directory]
        return {"url": f"picture?{urlencode({'run': run, 'archive': archive, 'file': file})}"}


def drawing_address(run: str, archive: Archive, name: str) -> str:
    """Return the address of a picture that is drawn when it is looked at, relative to the page."""
    return f"picture?{urlencode({'run': run, 'archive': archive.name, 'drawing': name})}"
