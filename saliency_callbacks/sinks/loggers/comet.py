"""Pictures, texts, tables and alerts to Comet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saliency_callbacks.sinks.image_files import encode_gif, encode_png, is_animation
from saliency_callbacks.sinks.loggers.clients import logger_package
from saliency_callbacks.sinks.names import file_stem
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["CometSink"]


class CometSink:
    """Write pictures by step, texts, tables and alerts as texts with their tag, and animations as GIF assets.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger.

    ``CometLogger(online=False)`` of Lightning 2.6 makes an experiment that is disabled and keeps nothing. To work
    offline, set the environment variable ``COMET_START_ONLINE=0`` instead.

    Args:
        logger: Lightning's ``CometLogger``, or an object with its ``experiment``.

    Raises:
        ConfigurationError: If the package ``comet_ml`` is not installed.

    Example:
        A ``CometLogger`` among the Trainer's loggers gets its sink by itself; one that is wrapped does not:

        >>> from saliency_callbacks import SaliencyMonitor
        >>> def monitor_for(wrapper):
        ...     return SaliencyMonitor(sinks=[CometSink(wrapper.comet_logger)])
    """

    def __init__(self, logger: Any) -> None:
        logger_package("comet_ml", logger=logger, extra="comet")
        self.logger = logger

    def add_report(self, path: Path, title: str) -> None:
        """Add a report as an asset."""
        self.logger.experiment.log_asset(str(path), file_name=f"{title}.html")

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write pictures, texts, tables and alerts; see :class:`~saliency_callbacks.types.Sink`."""
        experiment, step = self.logger.experiment, snapshot.step
        for tag, text in {**snapshot.markdown, **snapshot.alerts}.items():
            facts = {"tag": tag, "moment": snapshot.moment, "alert": tag in snapshot.alerts}
            experiment.log_text(text, step=step, metadata=facts)
        for tag, picture in pictures.items():
            if is_animation(picture):
                file = io.BytesIO(encode_gif(picture))
                experiment.log_asset(file, file_name=f"{tag}/{file_stem(snapshot)}.gif", step=step)
            else:
                # Never as an array, whose values are stretched to the whole range.
                experiment.log_image(io.BytesIO(encode_png(picture)), name=tag, step=step)
