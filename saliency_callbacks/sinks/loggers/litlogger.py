"""Pictures, texts, tables and alerts to Lightning's own LitLogger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from saliency_callbacks.sinks.image_files import encode_gif, encode_png, is_animation
from saliency_callbacks.sinks.loggers.clients import logger_package
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["LitLoggerSink"]


class LitLoggerSink:
    """Append pictures, animations, texts, tables and alerts, each to the series of its tag, at their step.

    Texts, tables and alerts are under ``<tag>/text``: litlogger refuses a series of texts under the key of a metric.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger.

    Args:
        logger: Lightning's ``LitLogger``, or an object with its ``experiment``.

    Raises:
        ConfigurationError: If the package ``litlogger`` is not installed.

    Example:
        A ``LitLogger`` among the Trainer's loggers gets its sink by itself; one that is wrapped does not:

        >>> from saliency_callbacks import SaliencyMonitor
        >>> def monitor_for(wrapper):
        ...     return SaliencyMonitor(sinks=[LitLoggerSink(wrapper.lit_logger)])
    """

    def __init__(self, logger: Any) -> None:
        self._litlogger: Any = logger_package("litlogger", logger=logger, extra="litlogger")
        self.logger = logger

    def add_report(self, path: Path, title: str) -> None:
        """Add a report as a file of the experiment."""
        self.logger.experiment[f"{title}.html"] = self._litlogger.File(str(path))

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write pictures, texts, tables and alerts; see :class:`~saliency_callbacks.types.Sink`."""
        experiment, step = self.logger.experiment, snapshot.step
        for tag, text in {**snapshot.markdown, **snapshot.alerts}.items():
            experiment[f"{tag}/text"].append(self._litlogger.Text(text, description=snapshot.moment), step=step)
        with TemporaryDirectory() as directory:
            for index, (tag, picture) in enumerate(pictures.items()):
                # A file, as the series keeps what it was given until the run ends. It is sent before this returns.
                file = _image_file(picture, Path(directory, str(index)))
                experiment[tag].append(self._litlogger.Image(str(file), description=snapshot.moment), step=step)


def _image_file(picture: Picture, stem: Path) -> Path:
    # An animation is an image, too: videos are encoded again, by a package that need not be there.
    encode, suffix = (encode_gif, ".gif") if is_animation(picture) else (encode_png, ".png")
    file = stem.with_suffix(suffix)
    file.write_bytes(encode(picture))
    return file
