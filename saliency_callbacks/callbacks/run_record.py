"""What a callback carries through a run and leaves behind: a state, what it writes, and what was said."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic

from saliency_callbacks.callbacks.monitored import log_monitored
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import State
from saliency_callbacks.callbacks.runtime.settings import Storage
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.errors import each_kind_once
from saliency_callbacks.scores.drawn import drawn

__all__ = ["RunRecord"]


class RunRecord(Generic[State]):
    """The part of a callback that outlives an observation, in a checkpoint, a pickle, or the run's directory.

    Attributes:
        namespace: First part of every tag and name of the directory.
        storage: What is kept on disk, and what of it loggers draw.
        state: What the next observation goes on from.
    """

    state_type: type[State]
    """Class of the state; without arguments that before the first observation."""

    namespace: str
    storage: Storage
    state: State
    _writer: SinkWriter | None
    _current_run: object
    _is_resumed: bool
    _said: set[Hashable]

    @property
    def identity(self) -> str:
        """Where this callback writes in the run's directory; differs between the callbacks of a run."""
        return self.namespace

    @property
    def title(self) -> str:
        """What a line that is said about this callback begins with."""
        return f"{type(self).__name__} ({self.identity})"

    @property
    def kept_in(self) -> Path | None:
        """Directory of the run that this callback writes to; ``None`` where it keeps nothing on this disk."""
        return None if self._writer is None else self._writer.run_directory

    @property
    def state_key(self) -> str:
        """Key of this callback's state in a checkpoint; differs between the callbacks of a run."""
        return f"{type(self).__qualname__}{ {'namespace': self.identity} }"

    def state_dict(self) -> dict[str, Any]:
        """Return probe, scores and all that the next observation refers to, for a checkpoint."""
        # What the state tells of is then on disk: a run that dies after the checkpoint has lost nothing.
        self.drain()
        return self.state.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.state = type(self.state).from_state_dict(state_dict)
        self._is_resumed = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the sinks, which hold files and threads; they are opened anew when there is something to write."""
        return {**vars(self), "_writer": None, "_current_run": None}

    def drain(self) -> None:
        """Wait until everything that was observed is written."""
        if self._writer is not None:
            with self._once():
                self._writer.drain()

    def hurry(self) -> None:
        """Draw no more pictures; what was found is still written."""
        if self._writer is not None:
            self._writer.abandon_pictures()

    def _once(self) -> AbstractContextManager[None]:
        """Return a context in which each kind of warning is given once in the run, by whichever callback."""
        return each_kind_once(self._said)

    def _share_what_is_said(self, callbacks: Iterable[object]) -> None:
        """Begin a run in which nothing was said yet; the callbacks of a run share what was."""
        first = next((one for one in callbacks if isinstance(one, RunRecord)), self)
        self._said = set() if first is self else first._said  # noqa: SLF001 (of its own class)

    def _log(self, host: Host, scores: Mapping[str, float], step: int) -> None:
        with self._once():
            log_monitored(host, scores, self.state.finite, step, self.storage.scalars)

    def log_directly(self, host: Host, scores: Mapping[str, float]) -> None:
        """Let loggers draw scores where nothing can monitor them: before the training starts and when it ends."""
        host.log_directly(drawn(scores, self.storage.scalars), host.step)
