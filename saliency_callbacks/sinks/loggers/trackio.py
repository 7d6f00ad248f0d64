"""Pictures, texts, tables, alerts and the report to Trackio."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from saliency_callbacks.sinks.image_files import encode_gif, is_animation
from saliency_callbacks.sinks.loggers.clients import logger_package
from saliency_callbacks.types import Picture, Snapshot, Table

__all__ = ["TrackioSink"]


class TrackioSink:
    """Write pictures and animations as images, texts as Markdown, tables as tables, and alerts.

    Texts are under ``<tag>/text`` and tables under ``<tag>/table``, as the tag may be that of a metric.

    Neither Lightning nor Trackio has a logger for the other. A logger of one's own that is called ``TrackioLogger`` and
    whose ``experiment`` is the run gets its sink by itself, and the scalars through Lightning; without one, the sink is
    given the run.

    Args:
        run: What ``trackio.init`` returns.

    Raises:
        ConfigurationError: If the package ``trackio`` is not installed.

    Example:
        >>> from saliency_callbacks import SaliencyMonitor
        >>> def monitor_for(run):
        ...     return SaliencyMonitor(sinks=[TrackioSink(run)])
    """

    def __init__(self, run: Any) -> None:
        self._trackio: Any = logger_package("trackio", logger=run, extra="trackio")
        self._last_step = 0
        self.run = run

    def add_report(self, path: Path, title: str) -> None:
        """Add a report as HTML, which the page of the run shows, at the step of the last observation."""
        html = self._trackio.Html(path.read_text(encoding="utf-8"), inject=False)
        self.run.log({title: html}, step=self._last_step)

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write pictures, texts, tables and alerts; see :class:`~saliency_callbacks.types.Sink`."""
        media = {f"{tag}/text": self._trackio.Markdown(text) for tag, text in snapshot.texts.items()}
        media |= {f"{tag}/table": self._table(table) for tag, table in snapshot.tables.items()}
        self._last_step = snapshot.step
        with TemporaryDirectory() as directory:
            for index, (tag, picture) in enumerate(pictures.items()):
                media[tag] = self._medium(picture, snapshot.moment, Path(directory, f"{index}.gif"))
            if media:
                # Copies the files before it returns.
                self.run.log(media, step=snapshot.step)
        for title, text in snapshot.alerts.items():
            self.run.alert(title, text, level=self._trackio.AlertLevel.WARN, step=snapshot.step)

    def _medium(self, picture: Picture, caption: str, file: Path) -> Any:
        if is_animation(picture):
            # As an image: Trackio's page does not play a video that is a GIF.
            file.write_bytes(encode_gif(picture))
            return self._trackio.Image(str(file), caption=caption)
        return self._trackio.Image(picture, caption=caption)

    def _table(self, table: Table) -> Any:
        # Its page does not draw the tables of Markdown.
        return self._trackio.Table(list(table.columns), [[cell.text for cell in row] for row in table.rows])
