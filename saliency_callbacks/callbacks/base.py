"""The base of all callbacks: when they observe, what an observation is made of, and what remains of one that fails."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.outputs import OutputReading, count_classes
from saliency_callbacks.callbacks.run_record import RunRecord
from saliency_callbacks.callbacks.runtime import notices, preconditions
from saliency_callbacks.callbacks.runtime.arguments import GroupedArguments, OnError, checked_namespace, checked_sinks
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.lightning_hooks import LightningHooks
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, Stage, State, changed_scores
from saliency_callbacks.callbacks.runtime.schedule import ObservationCost, takes_turn
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage, settings_of
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.callbacks.shared_pass.exchange import SharedPasses
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.callbacks.streaming.capacity import Footprints
from saliency_callbacks.callbacks.streaming.others import OtherSamples
from saliency_callbacks.callbacks.streaming.preparation import freeze_streamed
from saliency_callbacks.config.checks import checked_choice, checked_integer
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.types import Sink, Snapshot

__all__ = ["ObservingCallback"]


class ObservingCallback(RunRecord[State], GroupedArguments, LightningHooks):
    """Observe a fixed probe batch before the training, at validation epochs, and when the training ends.

    A subclass says what an observation is. When, on which samples, where it goes and what a failure does is said here.

    Args:
        probe: What is observed; a number is the number of samples.
        every_n_epochs: Epochs between two observations.
        reading: How the model is read.
        compute: What an observation may cost.
        storage: What is kept on disk.
        sinks: Further places to write to, beside the run's loggers.
        on_error: ``"warn"`` skips a failed observation, ``"raise"`` stops the training.
        namespace: First part of every tag and name of the directory.

    Raises:
        ConfigurationError: If an argument cannot be used.
    """

    def __init__(
        self,
        *,
        probe: Probe | int,
        every_n_epochs: int,
        reading: ModelReading,
        compute: Compute,
        storage: Storage,
        sinks: Sequence[Sink],
        on_error: OnError,
        namespace: str,
    ) -> None:
        self.probe = Probe.of(probe)
        self.every_n_epochs = checked_integer("every_n_epochs", every_n_epochs, 1)
        self.reading = settings_of(ModelReading, "reading", reading)
        self.compute = settings_of(Compute, "compute", compute)
        self.storage = settings_of(Storage, "storage", storage)
        self.sinks = checked_sinks(sinks)
        self.on_error: OnError = checked_choice("on_error", on_error, ("warn", "raise"))
        self.namespace = checked_namespace(namespace)
        self.cost = ObservationCost(self.compute.max_seconds_per_observation)
        self.state: State = self.state_type()
        self._frozen: ProbeBatch | None = None
        self._others: OtherSamples | None = None
        self._outputs = OutputReading(self.reading.outputs)
        self.settings = Settings(methods=())
        self._writer: SinkWriter | None = None
        self._current_run: object = None
        self._is_resumed = self._observes_training = self._has_trained = False
        self._n_skipped, self._said, self._passes, self._made = 0, set(), SharedPasses(), {}

    @abstractmethod
    def _check_model(self, model: nn.Module) -> None:
        """Raise a ConfigurationError for what is wrong whatever the data."""

    @abstractmethod
    def _accept_probe(self, probe: ProbeBatch, host: Host) -> None:
        """Raise a ConfigurationError for what is wrong with the probe, and keep what is derived from it."""

    def _footprint(self, host: Host) -> Footprints | None:
        """Return what tells what an observation of a streamed probe takes; ``None`` where all samples are shown."""
        return None

    def _freeze(self, host: Host) -> ProbeBatch | None:
        """Read the probe, or what is shown of it; return ``None`` where there is no data for one yet."""
        frozen, self._others = freeze_streamed(
            host,
            self.probe,
            self.state.indices,
            title=self.identity,
            reading=self.reading,
            settings=self.settings,
            storage=self.storage,
            footprint=self._footprint(host),
        )
        return frozen

    @abstractmethod
    def _observe(self, model: nn.Module, moment: Moment, host: Host) -> Observation[State]:
        """Observe ``model`` now. Nothing is written, and the state is not changed."""

    def _summarize(self, model: nn.Module, moment: Moment, host: Host) -> Observation[State] | None:
        """Return the end-of-training summary; ``None`` for none. Nobody asks after an exception or without a probe."""
        return None

    @override
    def wish_at(self, moment: Moment, host: Host) -> Wish | None:
        is_due = moment.stage == "fit" and takes_turn(self.state, host.epoch, self.every_n_epochs)[1]
        if self.is_new or not (is_due or moment.stage == "validate"):
            return None
        wish = self._wish(preconditions.explained_module(host, self.reading.module), host)
        # The host is that of the one who asks.
        return wish and replace(wish, shards_probe=self.compute.shard_probe and host.ranks.shards)

    def _on_observed(self, host: Host) -> None:
        """Act on an observation of the training, once it is written and the state has moved on."""

    def _on_closed(self, host: Host) -> None:
        """Act on a training that is complete and written."""

    @override
    def begin(self, host: Host, *, is_training: bool) -> None:
        """Forget an earlier run, unless this one goes on from it."""
        preconditions.check_run(host, self)
        self.cost.restart()
        self._has_trained, self._n_skipped = False, 0
        self._join(host.callbacks)
        if is_training and host.global_step == 0:
            self.state, self._frozen, self._is_resumed = self.state_type(), None, False
        if self._current_run is not host.run:
            self._writer, self._current_run = None, host.run

    @override
    def check(self, host: Host) -> None:
        """Find mistakes that need no data."""
        self._check_model(preconditions.explained_module(host, self.reading.module))

    @override
    def start(self, host: Host) -> None:
        """Freeze the probe and make the first observation, of the untrained model."""
        self._observes_training = not host.validates
        with self._once():
            if self._observes_training and self.probe.source == "val" and not self.probe.is_fixed:
                preconditions.check_validation_is_off(host, type(self).__name__)
                return
            stage: Stage = "initial" if host.global_step == 0 else "fit"
            # Data that cannot be read now may be there at the first validation.
            with notices.failures(Moment(host.epoch, host.step, stage), on_error=self.on_error, is_early=True):
                if self._prepared(host) is None:
                    notices.warn_of_late_start(
                        "the validation dataloader does not exist before training",
                        "with Trainer(num_sanity_val_steps=1) it does",
                    )
                elif self.state.n_observations:
                    # Of a resumed run, whose settings may be others than before.
                    with host.ranks.together(), host.without_logging():
                        self._check_runs(preconditions.explained_module(host, self.reading.module), host)
        if self._frozen is not None and self._writer is not None and self.state.n_observations == 0:
            with self.cost.measured(host.device):
                snapshot = self.observe(host, stage, host.step, is_early=True)
            if snapshot is not None:
                self.log_directly(host, snapshot.scores)

    @override
    def validation_starts(self, host: Host) -> None:
        """Note the time, for the report on the cost."""
        self.cost.validation_begins(host.device)

    @override
    def validation_ends(self, host: Host, *, is_training: bool) -> None:
        """Observe, if it is time; a standalone validation is always observed."""
        if is_training:
            self._observe_if_due(host, host.step)
            return
        snapshot = self.observe(host, "validate", host.step, is_early=True)
        self._log(host, {} if snapshot is None else snapshot.scores, host.step)

    @override
    def epoch_ends(self, host: Host) -> None:
        """Observe, if it is time, where there is no validation."""
        if self._observes_training and (self.probe.source == "train" or self.probe.is_fixed):
            self._observe_if_due(host, host.epoch_step)

    @override
    def finish(self, host: Host) -> None:
        """Write the end-of-training summary. After an exception there is none."""
        self._has_trained = True
        if self._frozen is not None:
            snapshot = self.observe(host, "final", host.step, is_early=False)
            if snapshot is not None:
                self.log_directly(host, changed_scores(snapshot.scores, self.state.scores))

    @override
    def close(self, host: Host, *, is_complete: bool) -> None:
        """Wait until everything is written."""
        self._passes.release()
        with self._closing():
            if self._n_skipped > 1:
                notices.tell(f"{self.title}: {self._n_skipped} observations were skipped")
            if is_complete and self._has_trained:
                self._on_closed(host)
            elif is_complete and self._is_resumed:
                notices.tell_that_training_had_ended(self.title)

    def _observe_if_due(self, host: Host, step: int) -> None:
        # On other epochs too: the Trainer keeps metrics for monitoring, but loggers would miss them.
        scores: Mapping[str, float] = self.state.scores
        self.state, is_made = takes_turn(self.state, host.epoch, self.every_n_epochs)
        if is_made:
            with self.cost.measured(host.device):
                snapshot = self.observe(host, "fit", step, is_early=False)
            scores = scores if snapshot is None else snapshot.scores
            self._n_skipped += snapshot is None
            with self._once():
                self.state = self.cost.judged(self.state, host.ranks, self.identity)
            self.cost.tell_once(self.title, snapshot, self._writer)
        self._log(host, scores, step)

    def _prepared(self, host: Host) -> SinkWriter | None:
        """Freeze the probe and open the sinks, once; return ``None`` where there is no data for a probe."""
        if self._frozen is None:
            with host.ranks.together():
                frozen = self._freeze(host)
            if frozen is None:
                return None
            preconditions.tell_of_reading(frozen, self.target)
            frozen = host.ranks.agreed(frozen)
            self._others = self._others and replace(self._others, shown=frozen)
            self.state = preconditions.state_for_probe(self.state, frozen)
            with host.ranks.together():
                self._outputs = OutputReading(self.reading.outputs, count_classes(host, self.probe, frozen))
                self._settled = preconditions.settled_on(frozen, host, self._asked, self.reading.module)
                self._accept_probe(frozen, host)
            self._frozen = frozen
        self._open_writer(host)
        return self._writer

    def observe(self, host: Host, stage: Stage, step: int, *, is_early: bool) -> Snapshot | None:
        """Observe now and write; return what was found, or ``None`` where that was not possible.

        Where ``is_early``, no training is lost by an error, so that a wrong configuration is one.
        """
        moment = Moment(max(0, host.epoch - (stage == "final")), step, stage)  # the run counts on when it ends
        observation = None
        with self._once():
            with notices.failures(moment, on_error=self.on_error, is_early=is_early), host.ranks.together():
                observation = self._written(host, moment)
            if observation is None:
                return None
            # Devices may round differently, and what is monitored must not.
            observation = observation.scored(host.ranks.from_zero(observation.snapshot.scores))
            if stage not in ("validate", "final"):
                # Last: whatever fails before, the next observation is compared with this one's predecessor. A
                # validation on its own is a look at the model, and no step of its training.
                self.state = observation.counted(self.state)
                self._on_observed(host)
            return observation.snapshot

    def _written(self, host: Host, moment: Moment) -> Observation[State] | None:
        """Observe and write; what is not written whole never was."""
        writer = self._prepared(host)
        if writer is None:
            notices.warn_of_no_probe(self.probe.source)
            return None
        model = preconditions.explained_module(host, self.reading.module)
        if moment.stage != "validate" and not preconditions.has_weights(model, host):
            return None
        with host.without_logging(), preconditions.diagnosed(lambda: self._check_runs(model, host)):
            make = self._summarize if moment.stage == "final" else self._observe
            observation = make(model, moment, host)
        if observation is None:
            return None
        facts = {"precision": host.precision, "arithmetic": observation.next_state.arithmetic}
        observation = observation.under({**facts, "weights": host.weights(self, at_end=moment.stage == "final")})
        writer.write(observation.snapshot, observation.pictures)
        return observation

    def _check_runs(self, model: nn.Module, host: Host) -> None:
        settings: Settings | None = getattr(self, "settings", None)
        if settings is not None:
            settings = replace(settings, forward_context=host.forward_context)
            preconditions.check_runs(model, host.to_device(self._probe.inputs), settings, self.target)
