"""An observation, from the probe to the sinks, whose failure never reaches the training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, Literal

from torch import nn

from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.arguments import checked_choice, checked_namespace, checked_sinks
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, Stage, State, Surroundings
from saliency_callbacks.callbacks.runtime.preconditions import explained_module, state_for_probe
from saliency_callbacks.callbacks.runtime.probe_loader import freeze_probe
from saliency_callbacks.callbacks.runtime.provenance import circumstances
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.callbacks.runtime.sink_writer import Outlets, open_outlets
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import ConfigurationError, RankError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.sinks.disk.retention import KeepMaps, checked_retention
from saliency_callbacks.types import Sink, Snapshot

__all__ = ["GuardedCallback", "OnError"]

OnError = Literal["warn", "raise"]


class GuardedCallback(host.Callback, ABC, Generic[State]):
    """Make observations of a frozen probe batch, and keep their failures from the training.

    A subclass says what an observation is, and what there is to say when the training ends. When an observation is made
    is settled in :class:`~saliency_callbacks.callbacks.base.ObservingCallback`; here, what it is made of, where it
    goes, and what is left of one that fails: nothing.

    Args:
        probe: What is observed; a number is the number of samples.
        module: Dotted name of the submodule that is observed; by default the LightningModule's own forward.
        save_maps: Whether to keep what is observed on disk.
        keep_maps: Which observations keep theirs there; see :class:`~saliency_callbacks.sinks.DiskSink`.
        sinks: Further places to write to, beside the Trainer's loggers.
        on_error: ``"warn"`` skips a failed observation, ``"raise"`` stops the training.
        namespace: First part of every tag and name of the directory.
        shard_probe: Whether each of several processes explains a part of the probe, instead of all of it.

    Raises:
        ConfigurationError: If an argument cannot be used.
    """

    save_pictures = False
    """Whether the pictures are kept on disk even where a logger shows them: those that no raw map leads back to."""

    def __init__(
        self,
        *,
        probe: Probe | int,
        module: str | None,
        save_maps: bool,
        keep_maps: KeepMaps,
        sinks: Sequence[Sink],
        on_error: OnError,
        namespace: str,
        shard_probe: bool,
    ) -> None:
        self.probe = Probe.of(probe)
        self.module = module
        self.save_maps = save_maps
        checked_retention(keep_maps)
        self.keep_maps: KeepMaps = plain(keep_maps)
        self.sinks = checked_sinks(sinks)
        self.on_error: OnError = checked_choice("on_error", on_error, ("warn", "raise"))
        self.namespace = checked_namespace(namespace)
        self.shard_probe = shard_probe
        self.state: State = self._new_state()
        self._frozen: ProbeBatch | None = None
        self._outlets: Outlets | None = None
        self._is_resumed = False

    @property
    def _probe(self) -> ProbeBatch:
        assert self._frozen is not None, "frozen before the first observation"
        return self._frozen

    @abstractmethod
    def _new_state(self) -> State:
        """Return the state before the first observation."""

    @abstractmethod
    def _check_model(self, model: nn.Module) -> None:
        """Raise a ConfigurationError for what is wrong whatever the data."""

    @abstractmethod
    def _accept_probe(self, probe: ProbeBatch) -> None:
        """Raise a ConfigurationError for what is wrong with the probe, and keep what is derived from it."""

    @abstractmethod
    def _observe(self, model: nn.Module, moment: Moment, surroundings: Surroundings) -> Observation[State]:
        """Observe ``model`` now. Nothing is written, and the state is not changed."""

    def _last_word(self, model: nn.Module, moment: Moment, surroundings: Surroundings) -> Observation[State] | None:
        """Return what there is to say when the training ends, beside its observations; ``None`` for nothing.

        After an exception, in a validation on its own and without a probe nobody asks.
        """
        return None

    def _on_observed(self, trainer: host.Trainer, snapshot: Snapshot) -> None:
        """Act on an observation of the training, once it is written and the state has moved on."""

    @property
    def identity(self) -> str:
        """Where this callback writes in the run's directory; differs between the callbacks of a Trainer."""
        return self.namespace

    @property
    def state_key(self) -> str:
        """Key of this callback's state in a checkpoint; differs between the callbacks of a Trainer."""
        return self._generate_state_key(namespace=self.identity)

    def state_dict(self) -> dict[str, Any]:
        """Return probe, scores and all that the next observation refers to, for a checkpoint."""
        # What the state tells of is then on disk: a run that dies after the checkpoint has lost nothing.
        self.drain()
        return self.state.state_dict()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the sinks, which hold files and threads; they are opened anew when there is something to write."""
        return {**vars(self), "_outlets": None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.state = type(self.state).from_state_dict(state_dict)
        self._is_resumed = True

    def drain(self) -> None:
        """Wait until everything that was observed is written."""
        if self._outlets is not None:
            self._outlets.drain()

    def _prepared(self, trainer: host.Trainer, module: host.LightningModule) -> Outlets | None:
        """Freeze the probe and open the sinks, once; return ``None`` where there is no data for a probe."""
        ranks = self._ranks(trainer)
        if self._frozen is None:
            with ranks.together():
                frozen = freeze_probe(trainer, module, self.probe, self.state.indices)
            if frozen is None:
                return None
            frozen = ranks.agreed(frozen)
            self.state = state_for_probe(self.state, frozen)
            with ranks.together():
                self._accept_probe(frozen)
            self._frozen = frozen
        if self._outlets is None:
            with ranks.together():
                self._outlets = open_outlets(
                    trainer,
                    self.sinks,
                    namespace=self.identity,
                    save_maps=self.save_maps,
                    save_pictures=self.save_pictures,
                    keep_maps=self.keep_maps,
                    resumed=self._is_resumed,
                    on_error=self.on_error,
                )
        return self._outlets

    def _ranks(self, trainer: host.Trainer) -> Ranks:
        return Ranks(trainer, shards_probe=self.shard_probe)

    def _attempt(
        self, trainer: host.Trainer, module: host.LightningModule, stage: Stage, step: int, *, is_early: bool
    ) -> Snapshot | None:
        """Observe and write; return what was seen, or ``None`` where that was not possible.

        Where ``is_early``, no training is lost by an error, so that a wrong configuration is one.
        """
        # The Trainer counts on when it ends.
        moment = Moment(max(0, trainer.current_epoch - (stage == "final")), step, stage)
        ranks = self._ranks(trainer)
        try:
            with ranks.together():
                outlets = self._prepared(trainer, module)
                if outlets is None:
                    notices.warn_of_no_probe(self.probe.source)
                    return None
                with host.without_logging(module):
                    observation = self._look(moment, Surroundings.of(trainer, module, ranks))
                if observation is None:
                    return None
                observation = observation.under(circumstances(trainer, self, at_end=stage == "final"))
                outlets.write(observation.snapshot, observation.pictures)
        except Exception as error:
            is_mistake = is_early and isinstance(error, ConfigurationError)
            if is_mistake or isinstance(error, RankError) or self.on_error == "raise":
                raise
            notices.warn_of_failure(moment, error)
            return None
        # Devices may round differently, and what is monitored must not.
        observation = replace(
            observation,
            snapshot=replace(observation.snapshot, scores=ranks.from_zero(observation.snapshot.scores)),
        )
        if stage not in ("validate", "final"):
            # Last: whatever fails before, the next observation is compared with this one's predecessor. A validation
            # on its own is a look at the model, and no step of its training.
            self.state = self._counted(observation)
            self._on_observed(trainer, observation.snapshot)
        return observation.snapshot

    def _look(self, moment: Moment, surroundings: Surroundings) -> Observation[State] | None:
        model = explained_module(surroundings.module, self.module)
        if moment.stage != "final":
            return self._observe(model, moment, surroundings)
        return self._last_word(model, moment, surroundings)

    def _counted(self, observation: Observation[State]) -> State:
        snapshot = observation.snapshot
        return replace(
            observation.next_state,
            scores=dict(snapshot.scores),
            last_observed=self.state.last_observed if snapshot.stage == "initial" else snapshot.epoch,
            n_observations=self.state.n_observations + 1,
            skipped=0,
        )
