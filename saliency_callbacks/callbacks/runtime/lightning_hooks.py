"""A Lightning callback as a series of moments: each hook hands its Trainer on as a host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typing_extensions import override

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.lightning import LightningHost, is_fitting
from saliency_callbacks.callbacks.runtime.packages import Callback, LightningModule, Trainer
from saliency_callbacks.callbacks.runtime.schedule import ObservationCost
from saliency_callbacks.callbacks.runtime.settings import Compute

__all__ = ["LightningHooks"]


class LightningHooks(Callback, ABC):
    """The hooks of a Lightning callback, in terms of the moments that a subclass acts at.

    Whatever else runs a training calls the moments itself, in the order in which they stand here.
    """

    compute: Compute
    cost: ObservationCost

    @property
    @abstractmethod
    def title(self) -> str:
        """What a line that is said about this callback begins with."""

    @abstractmethod
    def begin(self, host: Host, *, is_training: bool) -> None:
        """A run begins: it trains, or only validates. A checkpoint is loaded after this."""

    @abstractmethod
    def check(self, host: Host) -> None:
        """The model of a training is complete."""

    @abstractmethod
    def start(self, host: Host) -> None:
        """The first training step comes next."""

    @abstractmethod
    def step_starts(self) -> None:
        """The next training step comes; asked at each, so it has to be quick."""

    @abstractmethod
    def validation_starts(self, host: Host) -> None:
        """A validation epoch starts."""

    @abstractmethod
    def validation_ends(self, host: Host, *, is_training: bool) -> None:
        """A validation epoch ends: one of a training, or one on its own."""

    @abstractmethod
    def epoch_ends(self, host: Host) -> None:
        """A training epoch ends."""

    @abstractmethod
    def finish(self, host: Host) -> None:
        """The last training step was made."""

    @abstractmethod
    def close(self, host: Host, *, is_complete: bool) -> None:
        """The run ends; ``is_complete`` if it was a training, and no exception ended it."""

    @abstractmethod
    def turn_ends(self, host: Host) -> None:
        """This callback has had its turn at one of the moments from ``start`` to ``finish``."""

    @abstractmethod
    def hurry(self) -> None:
        """Somebody ends the process, and the run with it: what nobody waits for need not be done any more."""

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage in ("fit", "validate"):
            self.begin(self._host(trainer, pl_module), is_training=stage == "fit")

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with self.cost.at_start():
            self.check(self._host(trainer, pl_module))

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with self.cost.at_start(), self._turn(trainer, pl_module) as host:
            self.start(host)

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.step_starts()

    @override
    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validation_starts(self._host(trainer, pl_module))

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            with self._turn(trainer, pl_module) as host:
                self.validation_ends(host, is_training=is_fitting(trainer))

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with self._turn(trainer, pl_module) as host:
            self.epoch_ends(host)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with self.cost.at_end(), self._turn(trainer, pl_module) as host:
            self.finish(host)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        with self.cost.at_end():
            self.close(self._host(trainer, pl_module), is_complete=stage == "fit")
        if stage == "fit":
            self.cost.tell_end(self.title)

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        # Ctrl-C, or the signal of a cluster that takes its machine back.
        if not isinstance(exception, Exception):
            self.hurry()
        # After an exception there is no `teardown`.
        self.close(self._host(trainer, pl_module), is_complete=False)

    @contextmanager
    def _turn(self, trainer: Trainer, module: LightningModule) -> Iterator[Host]:
        host = self._host(trainer, module)
        yield host
        # After an exception the run is closed.
        self.turn_ends(host)

    def _host(self, trainer: Trainer, module: LightningModule) -> Host:
        return LightningHost(trainer, module, self.compute.shard_probe)
