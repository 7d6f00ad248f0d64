"""Pictures, texts and alerts to Weights & Biases."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["WandbSink"]


class WandbSink:
    """Write everything of one observation in one call, so that all media of an epoch share one step of the slider.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger.

    Args:
        logger: Lightning's ``WandbLogger``, or an object with its ``log_metrics`` and ``experiment``.

    Raises:
        ConfigurationError: If the package ``wandb`` is not installed.
    """

    def __init__(self, logger: Any) -> None:
        try:
            import wandb  # noqa: PLC0415 - a logger is imported when it is used
        except ImportError as error:
            raise ConfigurationError(
                f"the logger {type(logger).__name__} needs the package wandb, which cannot be imported ({error}); "
                "install it with: pip install 'saliency-callbacks[wandb]'"
            ) from error
        self._wandb: Any = wandb
        self.logger = logger

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write pictures, texts and alerts; see :class:`~saliency_callbacks.types.Sink`."""
        media: dict[str, Any] = {
            # Never as floats, which are cast to a black picture.
            tag: self._wandb.Image(picture, caption=snapshot.moment)
            for tag, picture in pictures.items()
        }
        texts = {tag: _preformatted(text) for tag, text in snapshot.texts.items()} | dict(snapshot.html)
        media |= {f"{tag}/text": self._wandb.Html(text) for tag, text in texts.items()}
        if media:
            self.logger.log_metrics(media, step=snapshot.step)
        for title, text in snapshot.alerts.items():
            self.logger.experiment.alert(title=title, text=text, level=self._wandb.AlertLevel.WARN)


def _preformatted(text: str) -> str:
    return f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'
