"""Files that are either complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

__all__ = ["replace_file", "replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file whose content is that of ``path`` once the block ends: a reader sees the old file or the new one.

    The content goes to a temporary file in the same directory, which is then renamed. After a failure the
    old file is untouched and the temporary one is gone.

    There is no ``fsync``: renaming already protects against a killed process, the usual fate of a training. Only a
    power cut could still leave a torn file; it would end the unsaved training as well, and the reader detects the
    damage. Waiting for the disk at every observation would cost more.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "file")
        >>> with replacing(path) as file:
        ...     _ = file.write(b"content")
        >>> path.read_bytes()
        b'content'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # uuid4 reads the system's entropy: no generator that a training might share is advanced. tempfile would ignore
    # the user's umask and make the file readable by its owner only.
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)  # noqa: PTH105 - the name says that an existing file is replaced
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` as :func:`replacing` does."""
    with replacing(path) as file:
        file.write(content)
