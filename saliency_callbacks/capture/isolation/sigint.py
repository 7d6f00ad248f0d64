"""Ctrl-C at a moment when it would leave a model half restored."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import FrameType, TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["deferred_interrupts", "restoring"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Let SIGINT wait until the end of the context, and then do what it would have done.

    On other threads than the main one nothing changes: signals do not reach them.
    """
    handler = _handler()
    if handler is None:
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: waiting.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if waiting:
            handler(*waiting[0])


def restoring(function: Callable[_P, Iterator[_T]]) -> Callable[_P, AbstractContextManager[_T]]:
    """Make a context manager of a generator, as ``contextmanager`` does, of which no Ctrl-C skips what is after yield.

    SIGINT does at once what it always does in what comes before, and in the body. Once the body has ended, however it
    has, SIGINT waits until the generator has.
    """
    make = contextmanager(function)

    @wraps(function)
    def made(*args: _P.args, **kwargs: _P.kwargs) -> AbstractContextManager[_T]:
        return _Restoring(make(*args, **kwargs))

    return made


class _Restoring(AbstractContextManager[_T], Generic[_T]):
    """A context whose ``__exit__`` lets SIGINT wait from its first instruction on.

    A handler that were installed there would come too late, as would a flag that were set there: Python runs handlers
    also between the call of a function and its first line. So the handler is there during the body, too, and looks
    where it was called from. An exception that it raises in the body's last instruction leads to ``__exit__``.
    """

    def __init__(self, context: AbstractContextManager[_T]) -> None:
        self._context = context
        self._handler: _Handler | None = None
        self._waiting: list[tuple[int, FrameType | None]] = []

    def __enter__(self) -> _T:
        try:
            entered = self._context.__enter__()
            self._handler = _handler()
            if self._handler is not None:
                signal.signal(signal.SIGINT, self._handle)
            return entered
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return self._context.__exit__(kind, error, traceback)
        finally:
            if self._handler is not None:
                signal.signal(signal.SIGINT, self._handler)
                if self._waiting:
                    self._handler(*self._waiting[0])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_at_the_end():
            self._waiting.append((number, frame))
        elif self._handler is not None:
            self._handler(number, frame)

    def _is_at_the_end(self) -> bool:
        # From here, not from the frame of the signal: that of one which has waited may be gone.
        frame = inspect.currentframe()
        while frame is not None:
            if frame.f_code is _Restoring.__exit__.__code__ and frame.f_locals["self"] is self:
                return True
            frame = frame.f_back
        return False


def _handler() -> _Handler | None:
    """Return what SIGINT calls; ``None`` where it calls nothing, or cannot be set."""
    handler = signal.getsignal(signal.SIGINT)
    is_ours = threading.current_thread() is threading.main_thread() and callable(handler)
    return handler if is_ours else None  # type: ignore[return-value]
