"""The time that a search may take."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Deadline"]


class Deadline:
    """The time that a search may take.

    Args:
        max_seconds: How long; ``None`` for as long as it takes.
        agreed: From what this process thinks to what all processes of a training go by, which then have to ask
            together.
        clock: Seconds, from any start.

    Attributes:
        was_met: Whether nobody was ever told that it is late.

    Example:
        >>> times = iter([0.0, 1.0, 3.0])
        >>> deadline = Deadline(2, clock=lambda: next(times))
        >>> deadline.is_over(), deadline.is_over(), deadline.was_met
        (False, True, False)
    """

    def __init__(
        self,
        max_seconds: float | None,
        agreed: Callable[[bool], bool] = bool,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._max_seconds, self._agreed, self._clock = max_seconds, agreed, clock
        self._start = clock()
        self.was_met = True

    def is_over(self) -> bool:
        """Tell whether the time is over."""
        if self._max_seconds is not None and self.was_met:
            self.was_met = not self._agreed(self._clock() - self._start > self._max_seconds)
        return not self.was_met
