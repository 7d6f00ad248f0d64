"""A run's sinks, all written in the background."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import NamedTuple

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.errors import PictureError
from saliency_callbacks.sinks import DiskSink, ImageMethodSink
from saliency_callbacks.sinks.background import BackgroundQueue
from saliency_callbacks.sinks.disk.remote_copy import RemoteCopy
from saliency_callbacks.types import Picture, PreparingSink, Sink, Snapshot

__all__ = ["SinkWriter"]


_MOST_FAILURES = 3


class WritingCost(NamedTuple):
    """What it takes to draw and write one observation.

    Args:
        seconds: From its beginning to its end.
        processor_seconds: Of these, how long a processor was busy with it, which the training may miss.
    """

    seconds: float
    processor_seconds: float


class SinkWriter:
    """The sinks of a run. A failure of one is reported; the others and the training go on.

    Pictures are rendered and everything is written in the background, one observation after the other, unless failures
    are to be raised where they happen. A sink that fails three times in a row is left out: a disk may be full for a
    moment, a broken adapter stays broken. Pictures that a sink did not take are kept as files on disk, and so are those
    of a logger that is known by its method for images alone: some keep the newest picture only.

    After Ctrl-C, nobody waits for pictures: those that are not drawn yet are left out, and the rest is written. An
    address is then waited for a few seconds only.

    Args:
        sinks: Where to write.
        on_error: ``"raise"`` to write at once and let failures through.
        run_directory: Where the run is kept on this disk; ``None`` where nothing is, and on other ranks than zero.
        copy: What copies what is kept on this disk to an address, for all callbacks of the run.
        place: Name of the directory in the run's directory; ``None`` where nothing is kept.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        on_error: str = "warn",
        run_directory: Path | None = None,
        copy: RemoteCopy | None = None,
        place: str | None = None,
    ) -> None:
        self.sinks = list(sinks)
        self.run_directory = run_directory
        self.copy = copy
        self.place = place
        self.on_error = on_error
        self._failures = [0] * len(self.sinks)
        self._preparing = [sink for sink in self.sinks if isinstance(sink, PreparingSink)]
        # Files come last, to stand in for what the others did not take.
        self._order = sorted(range(len(self.sinks)), key=lambda index: isinstance(self.sinks[index], DiskSink))
        self._keeps_pictures = [isinstance(sink, DiskSink) and sink.keeps_pictures for sink in self.sinks]
        self._queue = BackgroundQueue()
        # Warnings belong to the thread that trains: filters and their contexts are not made for several.
        self._messages: deque[tuple[Hashable, str]] = deque()
        self._cost: WritingCost | None = None
        self._is_abandoned = Event()
        self._n_abandoned = 0

    @property
    def in_background(self) -> bool:
        """Whether the training goes on while something is written."""
        return self.on_error != "raise"

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write one observation to every sink, now or soon.

        Raises:
            Exception: Whatever a sink raises, with ``on_error="raise"``.
        """
        if not self.sinks:
            return
        if self.in_background:
            self._queue.submit(partial(self._write, snapshot, pictures))
        else:
            self._write(snapshot, pictures)
        self.commit()

    def commit(self) -> None:
        """Let sinks hand over what they have prepared, on this thread: each that has ``commit()``.

        Raises:
            Exception: Whatever a sink raises, with ``on_error="raise"``.
        """
        for sink in self._preparing:
            self._commit(sink)
        self._report()

    def when_written(self, tell: Callable[[WritingCost | None], None]) -> None:
        """Call ``tell`` once what was given so far is written, with what the last one took; on its thread.

        Where nothing is written it is called with ``None``.
        """
        if self.in_background and self.sinks:
            self._queue.submit(lambda: tell(self._cost))
        else:
            tell(self._cost)

    def abandon_pictures(self) -> None:
        """Draw no more pictures. The one that is being drawn is the last one that anybody waits for."""
        self._is_abandoned.set()
        if self.copy is not None:
            self.copy.hurry()

    def add_report(self, path: Path, title: str) -> None:
        """Give a report to every sink that can show one: that has ``add_report(path, title)``.

        Raises:
            Exception: Whatever a sink raises, with ``on_error="raise"``.
        """
        for index, sink in enumerate(self.sinks):
            add_report: Callable[[Path, str], None] | None = getattr(sink, "add_report", None)
            if add_report is None or self._failures[index] >= _MOST_FAILURES:
                continue
            try:
                add_report(path, title)
            except Exception as error:
                if self.on_error == "raise":
                    raise
                name = type(sink).__name__
                why = f"{type(error).__name__}: {without_secrets(error)}"
                notices.warn(("sink without report", name), f"{name} did not accept the report ({why})")
        if self.copy is not None:
            self.copy.add(path.name)

    def drain(self) -> None:
        """Wait until everything is written, and report what failed."""
        self._queue.drain()
        self.commit()

    def close(self) -> None:
        """Wait until everything is written, report what failed, and end the thread."""
        self._queue.close()
        self.commit()
        self._report()
        if self._n_abandoned:
            several = f"{self._n_abandoned} observations were" if self._n_abandoned > 1 else "one observation was"
            notices.tell(f"the run was interrupted: {several} written without the pictures that had not been drawn yet")
            self._n_abandoned = 0
        self._is_abandoned.clear()

    def finish_copy(self) -> None:
        """Let the rest be copied to the address; the last callback of a run waits for it, and reports what failed."""
        if self.copy is not None and self.place is not None:
            failure = self.copy.finish(self.place)
            if failure is not None:
                notices.warn(("not copied", self.copy.address), failure)

    def _write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        start, start_of_thread = time.perf_counter(), time.thread_time()
        shown = _UntilAbandoned(pictures, self._is_abandoned)
        are_taken = True
        for index in self._order:
            sink = self.sinks[index]
            if isinstance(sink, DiskSink):
                sink.keeps_pictures = self._keeps_pictures[index] or not are_taken
            if self._failures[index] < _MOST_FAILURES:
                is_written = self._writes(sink, snapshot, shown)
                self._failures[index] = 0 if is_written else self._failures[index] + 1
                if self._failures[index] == _MOST_FAILURES:
                    name = type(sink).__name__
                    self._messages.append(
                        (
                            ("sink left out", name),
                            f"{name} failed {_MOST_FAILURES} times in a row and is not used for the rest of the run",
                        )
                    )
            are_taken &= self._failures[index] == 0 and not isinstance(sink, ImageMethodSink)
        if self.copy is not None:
            trouble = self.copy.trouble()
            if trouble is not None:
                self._messages.append((("copying again", self.copy.address), trouble))
            self.copy.start(self.place)
        self._n_abandoned += shown.is_short
        self._cost = WritingCost(time.perf_counter() - start, time.thread_time() - start_of_thread)

    def _writes(self, sink: Sink, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> bool:
        try:
            sink.write(snapshot, pictures)
        except Exception as error:
            if self.on_error == "raise":
                raise
            if isinstance(error, KeyError) and self._is_abandoned.is_set():
                # A sink that had a picture's tag when there was one to be drawn.
                return True
            self._messages.append(_failed(sink, error))
            return isinstance(error, PictureError)
        return True

    def _commit(self, sink: PreparingSink) -> None:
        try:
            sink.commit()
        except Exception as error:
            if self.on_error == "raise":
                raise
            self._messages.append(_failed(sink, error))
            # It is known too late for this observation; files stand in from the next one on.
            self._keeps_pictures = [isinstance(one, DiskSink) for one in self.sinks]

    def _report(self) -> None:
        while self._messages:
            notices.warn(*self._messages.popleft())


def _failed(sink: Sink, error: Exception) -> tuple[Hashable, str]:
    """Return the kind and the words of a warning."""
    # A picture that cannot be drawn says so itself, and is no fault of the sink.
    blamed = "" if isinstance(error, PictureError) else f"{type(sink).__name__} failed: "
    # Each picture is a thing of its own.
    what = str(error) if isinstance(error, PictureError) else type(sink).__name__
    message = f"{blamed}{type(error).__name__}: {without_secrets(error)}; training continues"
    return ("sink", type(error).__name__, what), message


class _UntilAbandoned(Mapping[str, Picture]):
    """Pictures, of which there are no more once they are abandoned."""

    def __init__(self, pictures: Mapping[str, Picture], is_abandoned: Event) -> None:
        self._pictures = pictures
        self._is_abandoned = is_abandoned
        self.is_short = False

    def __getitem__(self, tag: str) -> Picture:
        if self._ends():
            raise KeyError(tag)
        return self._pictures[tag]

    def __iter__(self) -> Iterator[str]:
        for tag in self._pictures:
            if self._ends():
                return
            yield tag

    def __len__(self) -> int:
        return 0 if self._ends() else len(self._pictures)

    def _ends(self) -> bool:
        self.is_short |= self._is_abandoned.is_set() and len(self._pictures) > 0
        return self._is_abandoned.is_set()
