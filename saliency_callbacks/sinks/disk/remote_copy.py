"""A copy of what a DiskSink writes, kept up to date at an address such as ``s3://bucket/runs``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.sinks.addresses import fetch, file_system
from saliency_callbacks.sinks.disk.archive import INDEX_NAME, OBSERVATIONS_NAME

__all__ = ["RemoteCopy"]

_PATIENCE = 60.0
_FETCHING = 600.0


class RemoteCopy:
    """Copies what is new in a DiskSink's directory, whole files only, and what lists them last.

    An object store has neither renaming nor appending, so every file is written at once, the journal as well, and a
    reader finds whatever the index lists. It is done on a thread of its own that nothing waits for but :meth:`finish`:
    a network that hangs holds up neither the training nor other sinks. What could not be copied is tried again the
    next time. What the journal at the address lists already stays listed.

    Args:
        directory: The run's directory on this machine.
        address: The run's address.
        name: Where the DiskSink's directory is below both.
    """

    def __init__(self, directory: Path, address: str, name: str) -> None:
        self.directory = directory
        self.address = address
        self.name = name
        self._copied: dict[str, tuple[int, int]] = {}
        self._former: bytes | None = None
        self._beside: dict[str, Path] = {}
        self._thread: Thread | None = None
        self._error: Exception | None = None

    def is_there(self) -> bool:
        """Return whether a DiskSink's directory was copied to this place before.

        Raises:
            Exception: Whatever keeps the address from being read.
        """
        return bool(_within(_PATIENCE, self._has_index))

    def fetch(self) -> None:
        """Copy what is at the address to this machine.

        Raises:
            Exception: Whatever keeps the address from being read.
        """
        _within(_FETCHING, lambda: fetch(f"{self.address}/{self.name}", self.directory / self.name))

    def start(self) -> None:
        """Copy what is new, in the background; if that is still being done, what is newer is left to the next time."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._run, name="saliency-copy", daemon=True)
            self._thread.start()

    def finish(self) -> str | None:
        """Copy what is left and wait for it, as long as there is progress; return why that was in vain."""
        if self._is_over():
            self.start()
        return self.failure() if self._is_over() else self._reason(f"nothing was copied for {_PATIENCE:.0f} s")

    def failure(self) -> str | None:
        """Return once why the last attempt failed; ``None`` where it did not, or is still being made."""
        error, self._error = self._error, None
        return None if error is None else self._reason(f"{type(error).__name__}: {without_secrets(error)}")

    def add(self, path: Path) -> None:
        """Copy a file of the run's directory, too."""
        self._beside[path.name] = path

    def _reason(self, why: str) -> str:
        return (
            f"{str(self.directory / self.name)!r} was not copied to {without_secrets(self.address)!r} ({why}); it is "
            "complete on this machine"
        )

    def _has_index(self) -> bool:
        system, root = file_system(self.address)
        return bool(system.exists(f"{root}/{self.name}/{INDEX_NAME}"))

    def _is_over(self) -> bool:
        while self._thread is not None and self._thread.is_alive():
            n_copied = len(self._copied)
            self._thread.join(_PATIENCE)
            if self._thread.is_alive() and len(self._copied) == n_copied:
                return False
        return True

    def _run(self) -> None:
        try:
            self._copy(*file_system(self.address))
            self._error = None
        except Exception as error:
            self._error = error

    def _copy(self, system: Any, root: str) -> None:
        kept = self.directory / self.name
        # Read first: what they list by now is there to be copied.
        lists = {name: (kept / name).read_bytes() for name in (OBSERVATIONS_NAME, INDEX_NAME) if (kept / name).exists()}
        files = {f"{self.name}/{path.relative_to(kept).as_posix()}": path for path in kept.rglob("*") if path.is_file()}
        files = {name: path for name, path in files.items() if path.name not in lists and path.suffix != ".tmp"}
        files |= self._beside
        for name, path in files.items():
            self._put(system, f"{root}/{name}", name, path)
        for name, content in lists.items():
            place = f"{root}/{self.name}/{name}"
            if name == OBSERVATIONS_NAME:
                content = self._listed_before(system, place, content) + content  # noqa: PLW2901 (what is written)
            if self._copied.get(place) != (len(content), hash(content)):
                system.makedirs(f"{root}/{self.name}", exist_ok=True)
                system.pipe_file(place, content)
                self._copied[place] = (len(content), hash(content))
        for name in self._copied.keys() - files.keys() - {f"{root}/{self.name}/{name}" for name in lists}:
            system.rm_file(f"{root}/{name}")
            del self._copied[name]

    def _listed_before(self, system: Any, place: str, content: bytes) -> bytes:
        """Return the lines at the address that this machine does not have, as where a run went on without them."""
        if self._former is None:
            there = system.cat_file(place) if system.exists(place) else b""
            self._former = b"" if content.startswith(there) else there
        return self._former

    def _put(self, system: Any, place: str, name: str, path: Path) -> None:
        try:
            found = path.stat()
            stamp = (found.st_size, found.st_mtime_ns)
            if self._copied.get(name) != stamp:
                system.makedirs(place.rpartition("/")[0], exist_ok=True)
                system.put_file(str(path), place)
                self._copied[name] = stamp
        except FileNotFoundError:
            # Its maps are not kept any more: it was removed meanwhile.
            if path.exists():
                raise


def _within(seconds: float, ask: Callable[[], Any]) -> Any:
    """Return what ``ask`` returns; a thread that hangs beyond the time is left behind."""
    answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    Thread(target=run, name="saliency-copy", daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except Empty as silence:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from silence
    if error is not None:
        raise error
    return answer
