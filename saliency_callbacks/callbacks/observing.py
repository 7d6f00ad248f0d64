"""What all callbacks share: a frozen probe, a schedule, sinks, and failures that never reach the training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, Generic, Literal

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks import host, host_ranks, notices
from saliency_callbacks.callbacks.arguments import checked_choice, checked_namespace, checked_sinks
from saliency_callbacks.callbacks.averaging import circumstances
from saliency_callbacks.callbacks.cost import ObservationCost, checked_seconds, describe_cost, takes_turn
from saliency_callbacks.callbacks.observation import Moment, Observation, Stage, State, Surroundings
from saliency_callbacks.callbacks.outlets import Outlets, open_outlets
from saliency_callbacks.callbacks.preconditions import (
    check_identities,
    check_validation_is_off,
    explained_module,
    state_for_probe,
)
from saliency_callbacks.callbacks.probing import freeze_probe
from saliency_callbacks.callbacks.ranks import Ranks
from saliency_callbacks.callbacks.schedule import check_interval, is_due
from saliency_callbacks.errors import ConfigurationError, RankError
from saliency_callbacks.plain_values import plain
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.sinks.retention import KeepMaps, checked_retention
from saliency_callbacks.types import Sink, Snapshot

__all__ = ["ObservingCallback", "OnError"]

OnError = Literal["warn", "raise"]


class ObservingCallback(host.Callback, ABC, Generic[State]):
    """Observe a fixed probe batch before the training and at every validation epoch.

    A subclass says what an observation is, and what there is to say when the training ends; when that is, what it is
    made of and where it goes is settled here.

    Args:
        probe: What is observed; a number is the number of samples.
        module: Dotted name of the submodule that is observed; by default the LightningModule's own forward.
        every_n_epochs: Epochs between two observations.
        save_maps: Whether to keep what is observed on disk.
        keep_maps: Which observations keep theirs there; see :class:`~saliency_callbacks.sinks.DiskSink`.
        max_seconds_per_observation: See :class:`~saliency_callbacks.callbacks.cost.ObservationCost`.
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
        every_n_epochs: int,
        save_maps: bool,
        sinks: Sequence[Sink],
        on_error: OnError,
        namespace: str,
        shard_probe: bool = False,
        keep_maps: KeepMaps = "all",
        max_seconds_per_observation: float | None = None,
    ) -> None:
        self.probe = Probe.of(probe)
        self.module = module
        self.every_n_epochs = check_interval(every_n_epochs)
        self.save_maps = save_maps
        checked_retention(keep_maps)
        self.keep_maps: KeepMaps = plain(keep_maps)
        self.cost = ObservationCost(checked_seconds(max_seconds_per_observation))
        self.sinks = checked_sinks(sinks)
        self.on_error: OnError = checked_choice("on_error", on_error, ("warn", "raise"))
        self.namespace = checked_namespace(namespace)
        self.shard_probe = shard_probe
        self.state: State = self._new_state()
        self._frozen: ProbeBatch | None = None
        self._outlets: Outlets | None = None
        self._is_resumed = False
        self._observes_training = False
        self._has_trained = False
        self._has_told_cost = False

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

    @override
    def setup(self, trainer: host.Trainer, pl_module: host.LightningModule, stage: str) -> None:
        """Forget an earlier run, unless this one goes on from it."""
        if stage not in ("fit", "validate"):
            return
        check_identities(trainer, self)
        host_ranks.check_strategy(trainer)
        self._has_trained = self._has_told_cost = False
        if stage == "fit" and trainer.global_step == 0:
            # A checkpoint's state is loaded after this.
            self.state, self._frozen, self._is_resumed = self._new_state(), None, False
        if self._outlets is not None and self._outlets.trainer is not trainer:
            self._outlets = None

    @override
    def on_fit_start(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Find mistakes that need no data; from here on the model is complete."""
        self._check_model(explained_module(pl_module, self.module))

    @override
    def on_train_start(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Freeze the probe and make the first observation, of the untrained model."""
        self._observes_training = not trainer.enable_validation
        if self._observes_training and self.probe.source == "val" and not self.probe.is_fixed:
            check_validation_is_off(trainer, type(self).__name__)
            return
        step = host.logging_step(trainer)
        stage: Stage = "initial" if trainer.global_step == 0 else "fit"
        try:
            prepared = self._prepared(trainer, pl_module)
        except Exception as error:
            # Data that cannot be read now may be there at the first validation.
            if isinstance(error, (ConfigurationError, RankError)) or self.on_error == "raise":
                raise
            notices.warn_of_failure(Moment(trainer.current_epoch, step, stage), error)
            return
        if prepared is None:
            notices.warn_of_late_start()
        elif self.state.n_observations == 0:
            with self.cost.measured(pl_module.device):
                snapshot = self._attempt(trainer, pl_module, stage, step, is_early=True)
            if snapshot is not None:
                host.log_directly(trainer, snapshot.scores, step)

    @override
    def on_train_end(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Say the last word. After an exception there is none."""
        self._has_trained = True
        if self._frozen is not None:
            step = host.logging_step(trainer)
            snapshot = self._attempt(trainer, pl_module, "final", step, is_early=False)
            if snapshot is not None:
                host.log_directly(trainer, self._new_scores(snapshot), step)

    @override
    def on_fit_end(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Say why there is no last word where the checkpoint was of a training that had ended."""
        if self._is_resumed and not self._has_trained:
            notices.say_that_training_had_ended(f"{type(self).__name__} ({self.identity})")

    @override
    def on_validation_epoch_start(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Note the time, for the report on the cost."""
        self.cost.validation_begins(pl_module.device)

    @override
    def on_validation_epoch_end(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Observe, if it is time."""
        if trainer.sanity_checking:
            return
        stage: Stage = "fit" if host.is_fitting(trainer) else "validate"
        self._observe_if_due(trainer, pl_module, stage, host.logging_step(trainer))

    @override
    def on_train_epoch_end(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Observe, if it is time, where there is no validation."""
        if self._observes_training and (self.probe.source == "train" or self.probe.is_fixed):
            self._observe_if_due(trainer, pl_module, "fit", host.epoch_logging_step(trainer))

    def drain(self) -> None:
        """Wait until everything that was observed is written."""
        if self._outlets is not None:
            self._outlets.drain()

    @override
    def teardown(self, trainer: host.Trainer, pl_module: host.LightningModule, stage: str) -> None:
        """Wait until everything is written."""
        if self._outlets is not None:
            self._outlets.close()

    @override
    def on_exception(self, trainer: host.Trainer, pl_module: host.LightningModule, exception: BaseException) -> None:
        """Wait until everything is written: after an exception there is no ``teardown``."""
        if self._outlets is not None:
            self._outlets.close()

    def observe_now(self, trainer: host.Trainer, pl_module: host.LightningModule) -> Snapshot | None:
        """Observe, if it is time, weights that the module was given: those of the Trainer's epoch and step.

        For models that were trained before, see :func:`saliency_callbacks.replay.replay`. Everything is logged as it is
        in a training, but not through the module.

        Raises:
            ConfigurationError: If a setting does not fit the module or the data.
        """
        step = host.logging_step(trainer)
        stage: Stage = "initial" if trainer.global_step == 0 else "fit"
        snapshot, scores = None, self.state.scores
        if stage == "initial" or is_due(trainer.current_epoch, self.state.last_observed, self.every_n_epochs):
            # No training is lost by an error.
            snapshot = self._attempt(trainer, pl_module, stage, step, is_early=True)
            scores = scores if snapshot is None else dict(snapshot.scores)
        if scores:
            host.log_directly(trainer, scores, step)
        return snapshot

    def _observe_if_due(self, trainer: host.Trainer, module: host.LightningModule, stage: Stage, step: int) -> None:
        # On other epochs too: the Trainer keeps metrics for monitoring, but loggers would miss them.
        scores: Mapping[str, float] = self.state.scores if stage == "fit" else {}
        if stage == "validate":
            snapshot = self._attempt(trainer, module, stage, step, is_early=True)
            scores = scores if snapshot is None else snapshot.scores
        elif self._takes_turn(trainer.current_epoch):
            with self.cost.measured(module.device):
                snapshot = self._attempt(trainer, module, stage, step, is_early=False)
            scores = scores if snapshot is None else snapshot.scores
            self.state = self.cost.judged(self.state, trainer, self.identity)
            self._tell_cost(snapshot)
        host.log_scalars(module, scores)

    def _takes_turn(self, epoch: int) -> bool:
        if not is_due(epoch, self.state.last_observed, self.every_n_epochs):
            return False
        self.state, is_made = takes_turn(self.state, epoch)
        return is_made

    def _tell_cost(self, snapshot: Snapshot | None) -> None:
        """Say once, and as soon as it is written, what the first observation of the training cost."""
        if snapshot is None or self._outlets is None or self._has_told_cost:
            return
        self._has_told_cost = True
        # Now: the next one may be measured before this one is written.
        told = partial(describe_cost, copy(self.cost), snapshot.metadata, beside=self.on_error != "raise")
        name = f"{type(self).__name__} ({self.identity})"
        self._outlets.when_written(lambda seconds: host.rank_zero_info(f"{name}: {told(writing=seconds)}"))

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
        moment = Moment(trainer.current_epoch, step, stage)
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
        # The Trainer counts on when it ends.
        last = self.state.last_observed
        return self._last_word(model, moment if last is None else replace(moment, epoch=last), surroundings)

    def _new_scores(self, last: Snapshot) -> Mapping[str, float]:
        # By their text: NaN differs from itself.
        return {tag: score for tag, score in last.scores.items() if str(score) != str(self.state.scores.get(tag))}

    def _counted(self, observation: Observation[State]) -> State:
        snapshot = observation.snapshot
        return replace(
            observation.next_state,
            scores=dict(snapshot.scores),
            last_observed=self.state.last_observed if snapshot.stage == "initial" else snapshot.epoch,
            n_observations=self.state.n_observations + 1,
            skipped=0,
        )
