"""Pictures, texts, tables and alerts to SwanLab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saliency_callbacks.sinks.image_files import encode_gif, is_animation
from saliency_callbacks.sinks.loggers.clients import logger_package
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["SwanLabSink"]


class SwanLabSink:
    """Write one observation in one call: pictures as images, animations as GIF videos, texts, tables and alerts.

    Texts, tables and alerts are under ``<tag>/text``: a chart of SwanLab is of one kind, and the tag may be that of a
    metric.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger.

    Args:
        logger: SwanLab's ``SwanLabLogger``, or an object with its ``experiment``.

    Raises:
        ConfigurationError: If the package ``swanlab`` is not installed.

    Example:
        A ``SwanLabLogger`` among the Trainer's loggers gets its sink by itself; one that is wrapped does not:

        >>> from saliency_callbacks import SaliencyMonitor
        >>> def monitor_for(wrapper):
        ...     return SaliencyMonitor(sinks=[SwanLabSink(wrapper.swanlab_logger)])
    """

    def __init__(self, logger: Any) -> None:
        self._swanlab: Any = logger_package("swanlab", logger=logger, extra="swanlab")
        self._last_step = 0
        self.logger = logger

    def add_report(self, path: Path, title: str) -> None:
        """Add a report as HTML, which the page of the run shows, at the step of the last observation."""
        html = self._swanlab.Html(path.read_text(encoding="utf-8"))
        self.logger.experiment.log({title: html}, step=self._last_step)

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write pictures, texts, tables and alerts; see :class:`~saliency_callbacks.types.Sink`."""
        media = {tag: self._medium(picture, snapshot.moment) for tag, picture in pictures.items()}
        for tag, text in {**snapshot.markdown, **snapshot.alerts}.items():
            media[f"{tag}/text"] = self._swanlab.Text(text, caption=snapshot.moment)
        self._last_step = snapshot.step
        if media:
            self.logger.experiment.log(media, step=snapshot.step)

    def _medium(self, picture: Picture, caption: str) -> Any:
        if is_animation(picture):
            return self._swanlab.Video(encode_gif(picture), caption=caption)
        return self._swanlab.Image(picture, caption=caption)
