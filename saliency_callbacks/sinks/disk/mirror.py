"""What a DiskSink keeps in its directory, copied to an address and from there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from saliency_callbacks.sinks.addresses import fetch, file_system
from saliency_callbacks.sinks.disk.archive import INDEX_NAME, OBSERVATIONS_NAME

__all__ = ["Mirror"]

_LISTS = (OBSERVATIONS_NAME, INDEX_NAME)
_Stamp = tuple[int, int]


class Mirror:
    """Copies what is new to an address: whole files only, and what lists them last.

    An object store has neither renaming nor appending, so every file is written at once, the journal as well, and a
    reader finds whatever the index lists. What the journal at the address lists already stays listed.

    Args:
        original: A DiskSink's directory on this machine, or a single file.
        address: Its own address.
        on_progress: Called whenever something was copied, or a part of it.
        is_resumed: Whether the run goes on from a checkpoint, so that something may be at the address.
    """

    def __init__(self, original: Path, address: str, on_progress: Callable[[], None], *, is_resumed: bool) -> None:
        self.original = original
        self.address = address
        self._on_progress = on_progress
        # By path below the directory. Without a stamp: it may be there, as it is or older.
        self._copied: dict[str, _Stamp | None] = dict.fromkeys(self._files())
        # What the journal at the address lists and this machine's does not; ``None`` where that is not known yet.
        self._former: bytes | None = None if is_resumed else b""

    def download(self, directory: Path) -> None:
        """Copy what is at the address to another directory than the DiskSink's.

        Raises:
            ConfigurationError: If the address cannot be read.
        """
        fetch(self.address, directory, on_progress=self._on_progress)

    def adopt(self, downloaded: Path) -> None:
        """Move what was downloaded to the DiskSink's directory."""
        names = [path.relative_to(downloaded).as_posix() for path in downloaded.rglob("*") if path.is_file()]
        for name in sorted(names, key=lambda name: name in _LISTS):
            target = self.original / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(downloaded / name, target)
            self._copied[name] = _content_stamp(target.read_bytes()) if name in _LISTS else _stamp(target)
        self._former = b""

    def update(self) -> None:
        """Copy what is new; remove at the address what was removed here.

        Raises:
            Exception: Whatever keeps the address from being written.
        """
        system, root = file_system(self.address)
        if self.original.is_file():
            self._put(system, root, ".")
            return
        # Read first: what they list by now is there to be copied.
        lists = {name: (self.original / name).read_bytes() for name in _LISTS if (self.original / name).exists()}
        if not lists:
            return
        files = [name for name in self._files() if name not in _LISTS]
        for name in files:
            self._put(system, root, name)
        for name, content in lists.items():
            whole = self._journal(system, f"{root}/{name}", content) if name == OBSERVATIONS_NAME else content
            self._write(system, root, name, whole)
        for name in self._copied.keys() - {*files, *_LISTS}:
            with suppress(FileNotFoundError):
                system.rm_file(f"{root}/{name}")
            del self._copied[name]
            self._on_progress()

    def _files(self) -> list[str]:
        found = (path for path in self.original.rglob("*") if path.suffix != ".tmp" and path.is_file())
        return [path.relative_to(self.original).as_posix() for path in found]

    def _put(self, system: Any, root: str, name: str) -> None:
        from fsspec.callbacks import Callback  # noqa: PLC0415 - slow, and for addresses only

        path, place = self.original / name, root if name == "." else f"{root}/{name}"
        try:
            stamp = _stamp(path)
            if self._copied.get(name) != stamp:
                system.makedirs(place.rpartition("/")[0], exist_ok=True)
                # A large file makes progress long before it is done.
                parts = Callback(hooks={"progress": lambda *_, **__: self._on_progress()})
                system.put_file(str(path), place, callback=parts)
                self._copied[name] = stamp
                self._on_progress()
        except FileNotFoundError:
            # Its maps are not kept any more: it was removed meanwhile.
            if path.exists():
                raise

    def _write(self, system: Any, root: str, name: str, content: bytes) -> None:
        stamp = _content_stamp(content)
        if self._copied.get(name) != stamp:
            system.makedirs(root, exist_ok=True)
            system.pipe_file(f"{root}/{name}", content)
            self._copied[name] = stamp
            self._on_progress()

    def _journal(self, system: Any, place: str, content: bytes) -> bytes:
        """Return the lines at the address that this machine does not have, as after a failed fetch, and its own."""
        own = _whole_lines(content)
        if self._former is None:
            try:
                there = _whole_lines(system.cat_file(place))
            except FileNotFoundError:
                there = b""
            self._former = b"" if own.startswith(there) else there
        return self._former + own


def _whole_lines(journal: bytes) -> bytes:
    """Return a journal without the line that is being appended, or was when a process died."""
    return journal[: journal.rfind(b"\n") + 1]


def _content_stamp(content: bytes) -> _Stamp:
    return len(content), hash(content)


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
