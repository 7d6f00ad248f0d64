"""Safetensors files read with NumPy, one array at a time.

A map of a hundred kilobytes is often beside megabytes of others. Its bytes alone are read, and none are mapped into
memory: a file that another machine removes or cuts while it is mapped would end the process.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from saliency_callbacks.errors import ConfigurationError

__all__ = ["Array", "ArrayFile"]

Array = npt.NDArray[Any]

_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_LARGEST_HEADER = 100_000_000


class ArrayFile:
    """An open safetensors file.

    Args:
        path: Where it is.
        expected: What it should hold, for messages.

    Raises:
        ConfigurationError: If it cannot be read.

    Example:
        >>> import tempfile
        >>> from safetensors.numpy import save_file
        >>> path = Path(tempfile.mkdtemp(), "maps.safetensors")
        >>> save_file({"map": np.ones((1, 2), np.float32)}, path)
        >>> with ArrayFile(path, "maps") as file:
        ...     file.read("map").tolist()
        [[1.0, 1.0]]
    """

    def __init__(self, path: Path, expected: str) -> None:
        self._path, self._expected = path, expected
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise self._damaged(error.strerror) from error
        try:
            self._entries, self._start = self._header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return list(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array, without reading it."""
        return tuple(self._entry(name)["shape"])

    def read(self, name: str) -> Array:
        """Return one array; ``bfloat16`` as ``float32``.

        Raises:
            ConfigurationError: If there is none of that name, or it cannot be read.
        """
        entry = self._entry(name)
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise self._damaged(f"{name} has elements of type {entry['dtype']}, which cannot be read here")
        start, end = entry["data_offsets"]
        count = math.prod(entry["shape"])
        if end - start != count * np.dtype(dtype).itemsize or start < 0:
            raise self._damaged(f"the size of {name} is not that of its shape")
        try:
            if self._start + end > os.fstat(self._file.fileno()).st_size:
                raise self._damaged(f"it ends within {name}")
            self._file.seek(self._start + start)
            content = self._file.read(end - start)
        except OSError as error:
            raise self._damaged(error.strerror) from error
        if len(content) != end - start:
            raise self._damaged(f"it ends within {name}")
        array = np.frombuffer(content, dtype)
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        try:
            return array.reshape(entry["shape"])
        except ValueError as error:
            raise self._damaged(f"{name} has the shape {entry['shape']}") from error

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self._entries:
            raise self._damaged(f"there is no {name} in it")
        entry: dict[str, Any] = self._entries[name]
        return entry

    def _header(self) -> tuple[dict[str, Any], int]:
        try:
            length = int.from_bytes(self._file.read(8), "little")
            header = self._file.read(length) if length <= _LARGEST_HEADER else b""
            entries = json.loads(header)
            entries.pop("__metadata__", None)
            if not all(_is_whole(entry) for entry in entries.values()):
                raise ValueError("an entry of the header is incomplete")
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise self._damaged(f"no header of a safetensors file: {error}") from error
        return entries, 8 + length

    def _damaged(self, reason: str | None) -> ConfigurationError:
        return ConfigurationError(
            f"{str(self._path)!r} cannot be read ({reason}); expected {self._expected}. Copy the whole directory, "
            "index and maps together"
        )


def _is_whole(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    numbers = [entry.get("shape"), entry.get("data_offsets")]
    are_numbers = all(isinstance(one, list) and all(isinstance(n, int) and n >= 0 for n in one) for one in numbers)
    return are_numbers and len(entry["data_offsets"]) == 2
