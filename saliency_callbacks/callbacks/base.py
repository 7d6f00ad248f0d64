"""When all callbacks observe: before the training, at validation epochs, and at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial

from typing_extensions import override

from saliency_callbacks.callbacks.runtime import collectives as host_ranks
from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.guarded import GuardedCallback, OnError
from saliency_callbacks.callbacks.runtime.observation import Moment, Stage, State
from saliency_callbacks.callbacks.runtime.preconditions import (
    check_identities,
    check_validation_is_off,
    explained_module,
)
from saliency_callbacks.callbacks.runtime.schedule import (
    ObservationCost,
    check_interval,
    checked_seconds,
    describe_cost,
    is_due,
    takes_turn,
)
from saliency_callbacks.errors import ConfigurationError, RankError
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.sinks.disk.retention import KeepMaps
from saliency_callbacks.types import Sink, Snapshot

__all__ = ["ObservingCallback", "OnError"]


class ObservingCallback(GuardedCallback[State]):
    """Observe a fixed probe batch before the training and at every validation epoch.

    Args:
        probe, module, save_maps, keep_maps, sinks, on_error, namespace, shard_probe: As for
            :class:`~saliency_callbacks.callbacks.runtime.guarded.GuardedCallback`.
        every_n_epochs: Epochs between two observations.
        max_seconds_per_observation: See :class:`~saliency_callbacks.callbacks.runtime.schedule.ObservationCost`.

    Raises:
        ConfigurationError: If an argument cannot be used.
    """

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
        super().__init__(
            probe=probe,
            module=module,
            save_maps=save_maps,
            keep_maps=keep_maps,
            sinks=sinks,
            on_error=on_error,
            namespace=namespace,
            shard_probe=shard_probe,
        )
        self.every_n_epochs = check_interval(every_n_epochs)
        self.cost = ObservationCost(checked_seconds(max_seconds_per_observation))
        self._observes_training = False
        self._has_trained = False
        self._has_told_cost = False

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

    def _new_scores(self, last: Snapshot) -> Mapping[str, float]:
        # By their text: NaN differs from itself.
        return {tag: score for tag, score in last.scores.items() if str(score) != str(self.state.scores.get(tag))}
