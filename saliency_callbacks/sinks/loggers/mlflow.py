"""Pictures, texts, tables and alerts to MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from saliency_callbacks.sinks.image_files import encode_gif, is_animation
from saliency_callbacks.sinks.loggers.clients import logger_package
from saliency_callbacks.sinks.names import file_stem, nested_name
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["MLflowSink"]

_LONGEST_TAG_VALUE = 5000


class MLflowSink:
    """Write pictures as images by step, and texts, tables and animations as artifacts.

    Animations are ``animations/<tag>/<step>.gif``; texts, tables and alerts are ``texts/<tag>/<step>.md``. The latest
    alert is also a tag of the run, which lists of runs show and can be searched for. MLflow's keys consist of letters,
    digits, spaces, ``_``, ``-``, ``.`` and ``/``; a tag with other characters gets a key that ends with a digest.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger.

    Args:
        logger: Lightning's ``MLFlowLogger``, or an object with its ``experiment`` (an ``MlflowClient`` of mlflow 2.15
            or newer) and ``run_id``.

    Raises:
        ConfigurationError: If the package ``mlflow`` is not installed.

    Example:
        An ``MLFlowLogger`` among the Trainer's loggers gets its sink by itself; one that is wrapped does not:

        >>> from saliency_callbacks import SaliencyMonitor
        >>> def monitor_for(wrapper):
        ...     return SaliencyMonitor(sinks=[MLflowSink(wrapper.mlflow_logger)])
    """

    def __init__(self, logger: Any) -> None:
        logger_package("mlflow", logger=logger, extra="mlflow")
        self.logger = logger

    def add_report(self, path: Path, title: str) -> None:
        """Add a report as an artifact, which MLflow's page shows in place."""
        folder = str(PurePosixPath(nested_name(title)).parent)
        self.logger.experiment.log_artifact(self.logger.run_id, str(path), folder)

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write pictures, texts, tables and alerts; see :class:`~saliency_callbacks.types.Sink`."""
        client, run = self.logger.experiment, self.logger.run_id
        stem = file_stem(snapshot)
        for tag, text in {**snapshot.markdown, **snapshot.alerts}.items():
            client.log_text(run, text, f"texts/{nested_name(tag)}/{stem}.md")
        for title, text in snapshot.alerts.items():
            client.set_tag(run, nested_name(title), text[:_LONGEST_TAG_VALUE])
        for tag, picture in pictures.items():
            if is_animation(picture):
                with TemporaryDirectory() as directory:
                    file = Path(directory, f"{stem}.gif")
                    file.write_bytes(encode_gif(picture))
                    client.log_artifact(run, str(file), f"animations/{nested_name(tag)}")
            else:
                client.log_image(run, picture, key=nested_name(tag), step=snapshot.step)
