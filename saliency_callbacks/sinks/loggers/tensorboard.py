"""Pictures, texts and tables to TensorBoard's event files, without holding up the training."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MethodType
from typing import Any

import google_crc32c

from saliency_callbacks.sinks.image_files import encode_gif, encode_png, is_animation
from saliency_callbacks.sinks.loggers.tensorboard_layout import LAYOUT
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["TensorBoardSink", "with_fast_checksums"]


class TensorBoardSink:
    """Write every picture as an image summary, and every text and table as Markdown.

    An animation is an image summary that holds a GIF file, which TensorBoard's page plays. A writer without a
    ``file_writer`` takes arrays only, and gets no animations.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger. The page
    *Custom scalars* draws those that are read together in one chart: drift of all methods, similarity with its floor,
    effect with its bound and threshold.

    TensorBoard's page shows only a random 10 steps of each image tag unless it is started with
    ``tensorboard --logdir ... --samples_per_plugin images=1000``.

    Args:
        experiment: A ``SummaryWriter`` of ``torch.utils.tensorboard``, or any object with its ``add_image`` and
            ``add_text``. It is neither flushed nor closed here; its owner does both.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from torch.utils.tensorboard import SummaryWriter
        >>> snapshot = Snapshot(3, step=40, stage="fit", attributions={}, texts={"saliency/notes": "All is well."})
        >>> with TemporaryDirectory() as directory, SummaryWriter(directory) as writer:
        ...     TensorBoardSink(writer).write(snapshot, {})
    """

    def __init__(self, experiment: Any) -> None:
        self.experiment = experiment
        self._is_laid_out = False

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write pictures, texts and tables at the snapshot's step; see :class:`~saliency_callbacks.types.Sink`."""
        self._lay_out()
        for tag, text in snapshot.markdown.items():
            self.experiment.add_text(tag, text, snapshot.step)
        # Looked up every time: its owner closes it after a run, and opens another for the next.
        file_writer: Any = getattr(self.experiment, "file_writer", None)
        if file_writer is None:
            for tag, picture in pictures.items():
                if not is_animation(picture):
                    self.experiment.add_image(tag, picture, snapshot.step, dataformats="HWC")
            return
        # `add_image` would compress at a level that takes longer than writing the rest of the observation.
        with_fast_checksums(file_writer)
        with ThreadPoolExecutor() as pool:
            for summary in pool.map(partial(_image_summary, pictures), pictures):
                if summary is not None:
                    file_writer.add_summary(summary, snapshot.step)

    def _lay_out(self) -> None:
        """Say once which scalars are drawn in one chart, where the writer can be told."""
        lay_out = getattr(self.experiment, "add_custom_scalars", None)
        if lay_out is not None and not self._is_laid_out:
            lay_out(LAYOUT)
        self._is_laid_out = True


def with_fast_checksums(file_writer: Any) -> Any:
    """Let a ``FileWriter`` of ``torch.utils.tensorboard`` compute its checksums in C; return it.

    TensorBoard computes them byte by byte in Python, on a thread that takes the interpreter from the training for a
    tenth of a second per megabyte of pictures. The file is the same to the byte. A writer that is built in another way
    than TensorBoard 2.21 does is left as it is.
    """
    events = getattr(file_writer, "event_writer", None)
    records: Any = getattr(getattr(events, "_async_writer", None), "_writer", None)
    if type(records).__name__ == "RecordWriter" and hasattr(records, "_writer"):
        records.write = MethodType(_write_record, records)
    return file_writer


def _image_summary(pictures: Mapping[str, Picture], tag: str) -> Any:
    """Render and encode one picture; ``None`` where pictures are not drawn any more."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415 - a logger is imported when it is used

    picture = pictures.get(tag)
    if picture is None:
        return None
    height, width, channels = picture.shape[-3:]
    encoded = encode_gif(picture) if is_animation(picture) else encode_png(picture)
    image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _write_record(records: Any, data: bytes) -> None:
    """Write length and data, each followed by its masked checksum: one record of the TFRecord format."""
    length = struct.pack("<Q", len(data))
    record = b"".join([length, _masked_checksum(length), data, _masked_checksum(data)])
    records._writer.write(record)  # noqa: SLF001 - only this file knows how TensorBoard is built


def _masked_checksum(data: bytes) -> bytes:
    checksum = google_crc32c.value(data)
    rotated = (checksum >> 15 | checksum << 17) + 0xA282EAD8
    return struct.pack("<I", rotated & 0xFFFFFFFF)
