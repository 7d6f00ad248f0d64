"""Event files of TensorBoard, written without holding up the training."""

from __future__ import annotations

import struct
from types import MethodType
from typing import Any

import google_crc32c

__all__ = ["with_fast_checksums"]


def with_fast_checksums(file_writer: Any) -> Any:
    """Let a ``FileWriter`` of ``torch.utils.tensorboard`` compute its checksums in C; return it.

    TensorBoard computes them byte by byte in Python, on a thread that keeps the interpreter from the training for a
    tenth of a second per megabyte of pictures. What is written is the same to the byte. A writer that is built another
    way than in TensorBoard 2.21 is left as it is.
    """
    events = getattr(file_writer, "event_writer", None)
    records: Any = getattr(getattr(events, "_async_writer", None), "_writer", None)
    if type(records).__name__ == "RecordWriter" and hasattr(records, "_writer"):
        records.write = MethodType(_write_record, records)
    return file_writer


def _write_record(records: Any, data: bytes) -> None:
    """Write length and data, each followed by its masked checksum: one record of the TFRecord format."""
    length = struct.pack("<Q", len(data))
    record = b"".join([length, _masked_checksum(length), data, _masked_checksum(data)])
    records._writer.write(record)  # noqa: SLF001 - this file is the one that knows how TensorBoard is built


def _masked_checksum(data: bytes) -> bytes:
    checksum = google_crc32c.value(data)
    rotated = (checksum >> 15 | checksum << 17) + 0xA282EAD8
    return struct.pack("<I", rotated & 0xFFFFFFFF)
