"""What a callback carries through a run and leaves behind: a state, what it writes, and what was said."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic

from torch import nn

from saliency_callbacks.callbacks.fast_precision import Asked, Peers, peers_of
from saliency_callbacks.callbacks.monitored import log_monitored
from saliency_callbacks.callbacks.places import open_sinks
from saliency_callbacks.callbacks.runtime.arguments import OnError
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, State
from saliency_callbacks.callbacks.runtime.schedule import ObservationCost
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.callbacks.shared_pass.exchange import SharedPasses
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.engine.explanation import Explanation
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import each_kind_once
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.scores.drawn import drawn
from saliency_callbacks.sinks.disk.remote_copy import RemoteCopy
from saliency_callbacks.types import Sink

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

    save_pictures: ClassVar[bool] = False
    """Whether the pictures are kept on disk even where a logger shows them: those that no raw map leads back to."""

    references: Mapping[str, float] = MappingProxyType({})
    """Constants that loggers draw beside the scores: tag → number."""

    target: Any = None
    """The explained score, of those callbacks that have one."""

    namespace: str
    probe: Probe
    reading: ModelReading
    compute: Compute
    sinks: Sequence[Sink]
    storage: Storage
    on_error: OnError
    cost: ObservationCost
    state: State
    _asked: Settings
    _settled: Settings
    _frozen: ProbeBatch | None
    _writer: SinkWriter | None
    _current_run: object
    _is_resumed: bool
    _said: set[Hashable]
    _passes: SharedPasses
    _made: dict[str, str]

    @property
    def settings(self) -> Settings:
        """How the model is explained, with what was found out about the inputs of the probe."""
        return self._settled

    @settings.setter
    def settings(self, asked: Settings) -> None:
        self._asked = self._settled = asked

    @property
    def _probe(self) -> ProbeBatch:
        assert self._frozen is not None, "frozen before the first observation"
        return self._frozen

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

    def step_starts(self) -> None:
        """Hand over what is prepared for loggers that take it from the thread that trains alone."""
        if self._writer is not None:
            with self._once():
                self._writer.commit()

    def hurry(self) -> None:
        """Draw no more pictures; what was found is still written."""
        if self._writer is not None:
            self._writer.abandon_pictures()

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Wait until everything is written; what is then made of the run is still copied to an address."""
        if self._writer is None:
            yield
            return
        try:
            with self._once():
                self._writer.close()
            yield
        finally:
            with self._once():
                self._writer.finish_copy()

    def _once(self) -> AbstractContextManager[None]:
        """Return a context in which each kind of warning is given once in the run, by whichever callback."""
        return each_kind_once(self._said)

    def _join(self, callbacks: Iterable[object]) -> None:
        """Begin a run; its callbacks share what is said, and what is explained at one moment."""
        first = next(iter(_ours(callbacks)), self)
        if first is self:
            self._said, self._passes, self._made = set(), SharedPasses(), {}
        else:
            self._said, self._passes, self._made = first._said, first._passes, first._made  # noqa: SLF001 (of its own class)

    @property
    def is_new(self) -> bool:
        """As of :class:`~saliency_callbacks.callbacks.shared_pass.exchange.Participant`."""
        return self._frozen is None or self.state.n_observations == 0

    @abstractmethod
    def wish_at(self, moment: Moment, host: Host) -> Wish | None:
        """As of :class:`~saliency_callbacks.callbacks.shared_pass.exchange.Participant`."""

    def _wish(self, model: nn.Module, host: Host) -> Wish | None:
        """Return what the next observation explains of the model; ``None`` where only running it would tell."""
        return None

    def _explained(self, wish: Wish, moment: Moment, host: Host) -> Explanation:
        """Return what is wished of the samples of this process, explained together with what others wish."""
        return self._passes.explained(self, wish, _ours(host.callbacks), moment, host)

    @property
    def _asked_fast(self) -> Asked:
        """What this callback explains, as its arguments tell."""
        return Asked(
            name=self.identity,
            probe=self.probe,
            target=self.target,
            settings=self._asked,
            reading=(self.reading.module, self.reading.outputs),
            shards_probe=self.compute.shard_probe,
            chosen=self.state.arithmetic,
        )

    def _peers(self, host: Host) -> Peers:
        """Return who chooses the arithmetic of ``precision="fast"`` together with this callback."""
        everyone = [one._asked_fast for one in _ours(host.callbacks)]  # noqa: SLF001 (of its own class)
        return peers_of(self._asked_fast, everyone, self._made)

    def turn_ends(self, host: Host) -> None:
        """Forget what was explained, if this was the last turn."""
        everyone = _ours(host.callbacks)
        if not everyone or everyone[-1] is self:
            self._passes.release()

    def _open_writer(self, host: Host) -> None:
        """Open the sinks, once in a run; all ranks must call it."""
        if self._writer is not None:
            return
        with host.ranks.together():
            self._writer = open_sinks(
                host,
                self.sinks,
                namespace=self.identity,
                storage=self.storage,
                save_pictures=self.save_pictures,
                resumed=self._is_resumed,
                place=self.state.place,
                copies=self._copies(host),
                run=self._run_at_address(host),
                on_error=self.on_error,
            )
            self.state.place = None if self._writer.place == self.identity else self._writer.place
            self.state.run = None if self._writer.copy is None else self._writer.copy.run

    def _copies(self, host: Host) -> list[RemoteCopy]:
        """Return what copies what other callbacks of the run keep."""
        writers = [one._writer for one in _ours(host.callbacks)]  # noqa: SLF001 (of its own class)
        return [writer.copy for writer in writers if writer is not None and writer.copy is not None]

    def _run_at_address(self, host: Host) -> str | None:
        """Return what a resumed run is called at an address; ``None`` where it has no name yet."""
        resumed = [one for one in (self, *_ours(host.callbacks)) if one._is_resumed]  # noqa: SLF001 (of its own class)
        return next((one.state.run for one in resumed if one.state.run is not None), None)

    def _log(self, host: Host, scores: Mapping[str, float], step: int) -> None:
        with self._once():
            log_monitored(host, scores, self.state.finite, step, self.storage.scalars)
        if scores and self.references:
            host.log_directly(drawn(self.references, self.storage.scalars), step)

    def log_directly(self, host: Host, scores: Mapping[str, float]) -> None:
        """Let loggers draw scores where nothing can monitor them: before the training starts and when it ends."""
        shown = {**scores, **self.references} if scores else scores
        host.log_directly(drawn(shown, self.storage.scalars), host.step)


def _ours(callbacks: Iterable[object]) -> list[RunRecord[Any]]:
    """Return the callbacks of this package, in the order of their turns."""
    return [one for one in callbacks if isinstance(one, RunRecord)]
