"""Whether there is anything to show, found out beside what asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock, Thread

__all__ = ["Activity"]

_SECONDS_BETWEEN = 10.0
_LONGEST_WAIT = 0.5


class Activity:
    """Answers at once with what the last search found; a search may take minutes on a network's file system.

    Args:
        search: Returns whether there is anything to show.
        clock: Returns seconds.

    Example:
        >>> Activity(lambda: True).is_active()
        True
    """

    def __init__(self, search: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._search, self._clock = search, clock
        self._lock = Lock()
        self._thread: Thread | None = None
        self._found = False
        self._next = 0.0

    def is_active(self) -> bool:
        """Return whether the last search found anything; the first one is waited for a moment."""
        with self._lock:
            is_first = self._thread is None
            is_due = self._thread is None or (not self._thread.is_alive() and self._clock() >= self._next)
            if is_due:
                self._thread = Thread(target=self._look, name="saliency-activity", daemon=True)
                self._thread.start()
            thread = self._thread
        if is_first and thread is not None:
            thread.join(_LONGEST_WAIT)
        return self._found

    def _look(self) -> None:
        try:
            self._found = self._search()
        except OSError:
            self._found = False
        self._next = self._clock() + _SECONDS_BETWEEN
