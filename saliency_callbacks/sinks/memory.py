"""A sink that keeps everything it is given, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from saliency_callbacks.errors import SaliencyError
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["MemorySink"]


class MemorySink:
    """Keep every observation in memory.

    Attributes:
        snapshots: Every snapshot written, oldest first.
        pictures: The pictures of each snapshot, ``{tag: uint8 [height, width, 3]}``. They are copies, so a renderer
            that reuses a buffer cannot change them.

    Example:
        >>> from saliency_callbacks.types import Snapshot
        >>> sink = MemorySink()
        >>> sink.write(Snapshot(epoch=0, step=10, stage="fit", attributions={}, scores={"drift": 0.5}), {})
        >>> sink.latest.scores["drift"]
        0.5
    """

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.pictures: list[dict[str, Picture]] = []

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Keep one observation; see :class:`~saliency_callbacks.types.Sink`."""
        copies = {tag: np.array(picture, copy=True) for tag, picture in pictures.items()}
        self.snapshots.append(snapshot)
        self.pictures.append(copies)

    @property
    def observations(self) -> list[Snapshot]:
        """The snapshots of the model, oldest first, without the end-of-training summary."""
        return [snapshot for snapshot in self.snapshots if snapshot.stage != "final"]

    @property
    def latest(self) -> Snapshot:
        """The last observation of the model; the end-of-training summary is ``snapshots[-1]``.

        Raises:
            SaliencyError: If nothing was written yet.
        """
        if not self.snapshots:
            raise SaliencyError(
                "MemorySink holds no snapshots; expected at least one. Write an observation first, or check that the "
                "callback's schedule was due"
            )
        return (self.observations or self.snapshots)[-1]
