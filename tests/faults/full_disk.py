"""A disk that takes half of what is written to a file."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

__all__ = ["no_space", "taking_half"]


def taking_half(calls: Container[int], then: Callable[[], None]) -> Callable[..., Any]:
    """Return an ``open`` of :class:`~pathlib.Path` that writes half of some files.

    Args:
        calls: Which of the files that are opened to be written anew, from 1.
        then: What happens once half of the first piece is in the file.
    """
    whole, opened = Path.open, []

    class Half(io.FileIO):
        def write(self, content: Any) -> int:
            whole_content = bytes(content)
            super().write(whole_content[: len(whole_content) // 2])
            then()
            return len(whole_content)

    def open_half(path: Path, mode: str = "r", *args: Any, **settings: Any) -> Any:
        if mode == "wb":
            opened.append(path)
            if len(opened) in calls:
                return Half(path, "w")
        return whole(path, mode, *args, **settings)

    return open_half


def no_space() -> None:
    """Fail as the system does."""
    raise OSError(errno.ENOSPC, "No space left on device")
