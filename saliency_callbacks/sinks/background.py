"""Tasks that run one after the other on a thread of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["BackgroundQueue"]

_MOST_WAITING = 2


class BackgroundQueue:
    """Runs tasks one after the other on a thread of its own.

    At most two tasks wait: a training that observes faster than its disk writes is slowed down, not filled up. The
    thread starts with the first task and ends with :meth:`close`.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._pending: deque[Future[None]] = deque()

    def submit(self, task: Callable[[], None]) -> None:
        """Run ``task`` later, in order; wait for the oldest one where too many wait.

        Raises:
            Exception: Whatever an earlier task raised.
        """
        while len(self._pending) > _MOST_WAITING:
            self._pending.popleft().result()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saliency-writer")
        self._pending.append(self._executor.submit(task))

    def drain(self) -> None:
        """Wait until every task is done.

        Raises:
            Exception: Whatever a task raised.
        """
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """Wait until every task is done, and end the thread.

        Raises:
            Exception: Whatever a task raised.
        """
        try:
            self.drain()
        except Exception:
            self._end()
            raise
        # After Ctrl-C whoever handles it decides what is still waited for, and closes again.
        self._end()

    def _end(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
