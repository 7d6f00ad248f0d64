"""Work that may hang, on a thread of its own that is waited for as long as it makes progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread

__all__ = ["PatientThread"]

_BRIEFLY = 5.0


class PatientThread:
    """Runs tasks one after the other; what hangs holds up only what comes after it.

    The thread starts with a task and ends with the last one. It is a daemon: the interpreter can exit before a task is
    done, which is then cut off.

    Args:
        name: Name of the thread.
        patience: Seconds without progress after which nobody waits any longer.

    Example:
        >>> done = []
        >>> thread = PatientThread("example", patience=60)
        >>> thread.submit(lambda: done.append(1))
        >>> thread.wait(), done
        (True, [1])
    """

    def __init__(self, name: str, patience: float) -> None:
        self.patience = patience
        self._name = name
        self._tasks: deque[Callable[[], None]] = deque()
        self._lock = Lock()
        self._is_idle = Event()
        self._is_idle.set()
        self._n_beats = 0
        self._in_vain = -1

    def submit(self, task: Callable[[], None]) -> None:
        """Run ``task``, which raises nothing, after those that were given before."""
        with self._lock:
            self._tasks.append(task)
            if self._is_idle.is_set():
                self._is_idle.clear()
                self.beat()
                Thread(target=self._run, name=self._name, daemon=True).start()

    def beat(self) -> None:
        """Say that there is progress; for tasks."""
        self._n_beats += 1

    def wait(self, *, briefly: bool = False) -> bool:
        """Wait until all tasks are done, as long as there is progress; return whether they are.

        The same silence is waited for once: whoever waits again while nothing has happened does not wait.

        Args:
            briefly: Whether to wait for a few seconds only, whatever the progress.
        """
        while not self._is_idle.is_set():
            before = self._n_beats
            if before == self._in_vain:
                return False
            if self._is_idle.wait(_BRIEFLY if briefly else self.patience):
                return True
            if briefly or self._n_beats == before:
                self._in_vain = self._n_beats
                return False
        return True

    def _run(self) -> None:
        while (task := self._next()) is not None:
            task()
            self.beat()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._tasks:
                return self._tasks.popleft()
            self._is_idle.set()
            return None
