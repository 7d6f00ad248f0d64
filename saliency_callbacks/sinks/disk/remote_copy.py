"""A copy of what a run keeps on disk, kept up to date at an address such as ``s3://bucket/runs``."""

from __future__ import annotations

import re
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from uuid import uuid4

from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.config.wording import joined
from saliency_callbacks.sinks.disk.mirror import Mirror
from saliency_callbacks.sinks.patient_thread import PatientThread

__all__ = ["RemoteCopy", "new_run_name"]

_PATIENCE = 60.0


def new_run_name(directory: Path) -> str:
    """Return a name for a run that no other has, on whatever machine: its directory's, and a random number."""
    readable = re.sub(r"[^\w.-]+", "_", directory.absolute().name).strip(".")
    # uuid4 reads the system's entropy: no generator that a training might share is advanced.
    return f"{readable}-{uuid4().hex[:12]}".lstrip("-")


class RemoteCopy:
    """Copies what the DiskSinks of one run write to the run's own address; all callbacks of the run share it.

    It is done on one thread that nothing waits for but :meth:`fetch` and :meth:`finish`, and these only as long as
    there is progress: a network that hangs holds up neither the training nor other sinks. What could not be copied is
    tried again the next time.

    Args:
        directory: The run's directory on this machine.
        parent: The address that the user gave, which runs may share.
        run: Name of the run's directory there.
    """

    def __init__(self, directory: Path, parent: str, run: str) -> None:
        self.directory = directory.absolute()
        self.parent = parent
        self.run = run
        self.address = f"{parent}/{run}"
        self._thread = PatientThread("saliency-copy", _PATIENCE)
        self._mirrors: dict[str, Mirror] = {}
        self._writing: set[str] = set()
        self._failures: dict[str, str] = {}
        self._is_queued = Event()
        self._is_hurried = False

    def begin(self, name: str, *, is_resumed: bool) -> None:
        """Copy a DiskSink's directory, too.

        Args:
            name: The directory, below the run's.
            is_resumed: Whether the run goes on from a checkpoint.
        """
        self.add(name, is_resumed=is_resumed)
        self._writing.add(name)

    def add(self, name: str, *, is_resumed: bool = False) -> None:
        """Copy a file of the run's directory, too, or a directory as of :meth:`begin`."""
        if name not in self._mirrors:
            original, address = self.directory / name, f"{self.address}/{name}"
            self._mirrors[name] = Mirror(original, address, self._thread.beat, is_resumed=is_resumed)

    def fetch(self, name: str) -> None:
        """Copy a DiskSink's directory from the address to this machine; wait as long as there is progress.

        Raises:
            TimeoutError: If there is no progress.
            Exception: Whatever else keeps the address from being read.
        """
        fetched: Future[None] = Future()
        self._thread.submit(lambda: self._fetch(name, fetched))
        if not self._thread.wait() and fetched.cancel():
            raise TimeoutError(f"no answer within {self._thread.patience:.0f} s")
        fetched.result()

    def start(self, name: str | None = None) -> None:
        """Copy what is new, in the background.

        Args:
            name: The DiskSink's directory that was just written to.
        """
        if name is not None:
            self._writing.add(name)
        if not self._is_queued.is_set():
            self._is_queued.set()
            self._thread.submit(self._copy)

    def hurry(self) -> None:
        """Wait only briefly at the end."""
        self._is_hurried = True

    def finish(self, name: str) -> str | None:
        """Copy what is left of a DiskSink's directory that is complete; return why not all was copied, if so.

        Only the last one of the run waits, as long as there is progress, and tells of all.
        """
        self._writing.discard(name)
        self.start()
        if self._writing:
            return None
        is_over = self._thread.wait(briefly=self._is_hurried)
        left = dict(self._failures) if is_over else dict.fromkeys(self._mirrors, self._silence())
        self._is_hurried = False
        if not left:
            return None
        names = joined([repr(str(self.directory / one)) for one in left])
        verb, rest = ("was", "it is") if len(left) == 1 else ("were", "they are")
        return (
            f"{names} {verb} not copied to {without_secrets(self.address)!r} ({next(iter(left.values()))}); {rest} "
            "complete on this machine"
        )

    def trouble(self) -> str | None:
        """Return why something could not be copied the last time, if so; it will be tried again."""
        why = next(iter([*self._failures.values()]), None)
        return why and f"copying to {without_secrets(self.address)!r} failed ({why}); it will be tried again"

    def _silence(self) -> str:
        if self._is_hurried:
            return "the run was interrupted before all was copied"
        return f"nothing was copied for {self._thread.patience:.0f} s"

    def _copy(self) -> None:
        # First: what is written from now on needs another turn.
        self._is_queued.clear()
        for name, mirror in list(self._mirrors.items()):
            self._update(name, mirror)

    def _update(self, name: str, mirror: Mirror) -> None:
        try:
            mirror.update()
            self._failures.pop(name, None)
        except Exception as error:
            self._failures[name] = f"{type(error).__name__}: {without_secrets(error)}"

    def _fetch(self, name: str, fetched: Future[None]) -> None:
        try:
            with TemporaryDirectory() as copy:
                self._mirrors[name].download(Path(copy))
                # Nobody waits for what comes too late: the run has begun to write there itself.
                if fetched.set_running_or_notify_cancel():
                    self._mirrors[name].adopt(Path(copy))
                    fetched.set_result(None)
        except Exception as error:
            if fetched.running() or fetched.set_running_or_notify_cancel():
                fetched.set_exception(error)
