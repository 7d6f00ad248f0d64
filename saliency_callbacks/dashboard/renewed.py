"""What takes long to find, found on a thread beside those who ask for it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from threading import Lock, Thread
from typing import Generic, TypeVar

__all__ = ["Renewed"]

_log = logging.getLogger(__name__)

Found = TypeVar("Found")


class Renewed(Generic[Found]):
    """Answers with what was found last; it is looked for again when some time has passed, once at a time.

    Args:
        look: Returns what there is; it may take minutes on a network's file system. If it fails, what was found before
            stays.
        pause: How long after a look the next one begins, in seconds, by how long it took.
        first_wait: How long, in seconds, whoever asks waits while nothing was found yet; ``None`` until it is.
        later_wait: How long whoever begins a later look waits for it, in seconds.
        clock: Returns seconds.

    Example:
        >>> Renewed(lambda: 3, pause=lambda took: 10.0).latest()
        3
    """

    def __init__(
        self,
        look: Callable[[], Found],
        *,
        pause: Callable[[float], float],
        first_wait: float | None = None,
        later_wait: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._pause, self._clock = look, pause, clock
        self._first_wait, self._later_wait = first_wait, later_wait
        self._lock = Lock()
        self._thread: Thread | None = None
        self._next = -math.inf
        self.found: Found | None = None
        self.failure: Exception | None = None

    def latest(self) -> Found | None:
        """Return what was found last; ``None`` if nothing could be found yet."""
        with self._lock:
            is_looking = self._thread is not None and self._thread.is_alive()
            begins = not is_looking and self._clock() >= self._next
            if begins:
                self._thread = Thread(target=self.renew, name="saliency-look", daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None and (begins or self.found is None):
            thread.join(self._first_wait if self.found is None else self._later_wait)
        return self.found

    def renew(self) -> None:
        """Look now, and wait for it."""
        start = self._clock()
        try:
            self.found = self._look()
            self.failure = None
        except Exception as failure:
            if repr(failure) != repr(self.failure):  # told once, though it is looked for again and again
                _log.warning("searching for runs failed", exc_info=True)
            self.failure = failure
        finally:
            end = self._clock()
            self._next = end + self._pause(end - start)
