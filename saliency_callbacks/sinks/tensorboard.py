"""Pictures to TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from saliency_callbacks.types import Picture, Snapshot

__all__ = ["TensorBoardSink"]


class ImageWriter(Protocol):
    """The one method that is used of a ``SummaryWriter``."""

    def add_image(self, tag: str, img_tensor: Any, global_step: int, *, dataformats: str) -> object:
        """Write one image."""


class TensorBoardSink:
    """Write every picture as an image summary.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger.

    TensorBoard's page shows only a random 10 steps of each image tag unless it is started with
    ``tensorboard --logdir ... --samples_per_plugin images=1000``.

    Args:
        experiment: A ``SummaryWriter`` of ``torch.utils.tensorboard`` or ``tensorboardX``, or any object with
            their ``add_image``. It is neither flushed nor closed here; its owner does both.
    """

    def __init__(self, experiment: ImageWriter) -> None:
        self.experiment = experiment

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write the pictures at the snapshot's step; see :class:`~saliency_callbacks.types.Sink`."""
        for tag, picture in pictures.items():
            self.experiment.add_image(tag, picture, snapshot.step, dataformats="HWC")
