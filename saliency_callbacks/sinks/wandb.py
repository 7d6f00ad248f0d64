"""Pictures, texts, alerts and a table of the samples to Weights & Biases."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from typing import Any

from saliency_callbacks.sinks.gif import encode_gif, is_animation
from saliency_callbacks.sinks.packages import logger_package
from saliency_callbacks.sinks.sample_table import sample_table
from saliency_callbacks.sinks.wandb_table import GrowingTable
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["WandbSink"]


class WandbSink:
    """Write everything of one observation in one call, so that all media of an epoch share one step of the slider.

    Beside pictures, animations and texts there is a table, e.g. ``saliency/samples``, with one row for each sample and
    observation: moment, epoch, step, sample, label, prediction, confidence, and the sample's value behind each score.
    See :class:`~saliency_callbacks.sinks.wandb_table.GrowingTable` for long runs and for wandb before 0.20.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger.

    Args:
        logger: Lightning's ``WandbLogger``, or an object with its ``log_metrics`` and ``experiment``.

    Raises:
        ConfigurationError: If the package ``wandb`` is not installed.
    """

    def __init__(self, logger: Any) -> None:
        self._wandb: Any = logger_package("wandb", logger=logger, extra="wandb")
        self._table: GrowingTable | None = None
        self.logger = logger

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write pictures, texts, the samples' rows and alerts; see :class:`~saliency_callbacks.types.Sink`."""
        media = {tag: self._medium(picture, snapshot.moment) for tag, picture in pictures.items()}
        texts = {tag: _preformatted(text) for tag, text in snapshot.texts.items()} | dict(snapshot.html)
        media |= {f"{tag}/text": self._wandb.Html(text) for tag, text in texts.items()}
        media |= self._rows(snapshot)
        if media:
            self.logger.log_metrics(media, step=snapshot.step)
        for title, text in snapshot.alerts.items():
            self.logger.experiment.alert(title=title, text=text, level=self._wandb.AlertLevel.WARN)

    def _medium(self, picture: Picture, caption: str) -> Any:
        if is_animation(picture):
            # Made from an array it would need another package to encode it.
            return self._wandb.Video(io.BytesIO(encode_gif(picture)), caption=caption, format="gif")
        # Never as floats, which are cast to a black picture.
        return self._wandb.Image(picture, caption=caption)

    def _rows(self, snapshot: Snapshot) -> dict[str, Any]:
        added = sample_table(snapshot)
        if added is None:
            return {}
        run = self.logger.experiment
        if self._table is None or not self._table.takes(added, run):
            self._table = GrowingTable(self._wandb, run, added)
        return {self._table.key: self._table.add(added)}


def _preformatted(text: str) -> str:
    return f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'
