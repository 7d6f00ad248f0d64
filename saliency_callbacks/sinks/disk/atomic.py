"""Files that are either whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

__all__ = ["replace_file"]


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never a part.

    The content goes to a temporary file in the same directory, which is then renamed. After a failure the
    old file is untouched and the temporary one is gone.

    There is no ``fsync``: renaming already protects against a killed process, which is what happens to
    trainings. Only a power cut could still leave a torn file; it would take the unsaved training with it,
    and the reader detects the damage. Waiting for the disk at every observation costs more than that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # uuid4 reads the system's entropy: no generator that a training might share is advanced. tempfile
    # would make the file readable by its owner alone, against the user's umask.
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)  # noqa: PTH105 - the name says that an existing file is replaced
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
