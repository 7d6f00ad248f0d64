"""Whether there is anything to show, found out beside what asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from saliency_callbacks.dashboard.renewed import Renewed

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
        self._search = Renewed(search, pause=lambda _: _SECONDS_BETWEEN, first_wait=_LONGEST_WAIT, clock=clock)

    def is_active(self) -> bool:
        """Return whether the last search found anything; the first one is waited for a moment."""
        return bool(self._search.latest())
