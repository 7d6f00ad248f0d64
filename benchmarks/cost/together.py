"""Several callbacks of one training: what each adds to the others, and all of them to an epoch."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from benchmarks.cost.measure import Clock, Row, Timings, cost, timed
from benchmarks.cost.observation import Classifier
from benchmarks.cost.workload import Workload, floor, photographs, random_resnet18
from saliency_callbacks import (
    Cascade,
    Confirmation,
    CueAlarm,
    Draws,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    Storage,
)
from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.runtime.lightning import LightningHost
from saliency_callbacks.probe import PatchCue

__all__ = ["measure_epoch", "measure_together"]

_METHODS = ("gradient", "input_x_gradient", "grad_cam", "hires_cam", "layer_cam")
_N_DRAWS = 20
_BY_HAND = "forward + gradient by hand"
_MONITOR = "the monitor alone"
_N_TRAINED = 2000
_BATCH = 16
_TIMED_BATCHES = 3

Group = Sequence[ObservingCallback[Any]]


def measure_together(workload: Workload) -> list[Row]:
    """A test beside a monitor of the same methods and probe, in an epoch after the first: what it adds."""
    images, labels = photographs(workload.images, workload.size)
    given = (images, labels)
    groups: dict[str, Group] = {
        _MONITOR: [_monitor(*given)],
        "with a test": [_monitor(*given), _test(*given, random_logit=False)],
        "with a test and its random logit": [_monitor(*given), _test(*given, random_logit=True)],
    }
    driver = _Driver(groups, *given, workload.clock)
    _train(driver, _few(images, labels), max_epochs=workload.rounds + 1)
    rows = []
    for name, limit in {"with a test": 0.25, "with a test and its random logit": None}.items():
        added = f"{len(_METHODS)} methods, {_N_DRAWS} draws: a monitor {name}, less {_MONITOR}"
        both = zip(driver.seconds[name], driver.seconds[_MONITOR], strict=True)
        timings: Timings = {added: [ours - alone for ours, alone in both], _BY_HAND: driver.seconds[_BY_HAND]}
        row = "together/test" if limit is not None else "together/test/with_logit"
        rows.append(cost(row, timings, ours=added, other=_BY_HAND, limit=limit))
    return rows


def measure_epoch(workload: Workload) -> list[Row]:
    """Three callbacks in a training on 2,000 images, of which a few batches are run: an epoch, start and end."""
    images, labels = photographs(_BATCH * _TIMED_BATCHES, workload.size)
    three = [_monitor(images[:_BATCH], labels[:_BATCH]), _test(images[:_BATCH], labels[:_BATCH], random_logit=True)]
    cue = PatchCue((0, 0, 16, 16))
    alarm = CueAlarm(
        cue,
        0,
        _probe(images[:_BATCH], labels[:_BATCH]),
        confirmation=Confirmation(groups_at_fit_end=False),
        storage=Storage(save_maps=False),
        on_alarm="log",
    )
    data = DataLoader(TensorDataset(images, labels), batch_size=_BATCH)
    clocks = {"with": _Clock(workload.clock), "without": _Clock(workload.clock)}
    for name, observing in {"with": [*three, alarm], "without": []}.items():
        clock = clocks[name]
        clock.begin()
        _train(clock.first, data, *observing, clock.last, max_epochs=3)
        clock.end()
    ours, bare = clocks["with"], clocks["without"]
    batches = _N_TRAINED / _BATCH
    trained = [seconds * batches for seconds in bare.batches[_TIMED_BATCHES:]]
    rounds = min(len(trained), len(ours.observations) - 1)
    epoch: Timings = {
        "three callbacks, an epoch after the first": ours.observations[1:][:rounds],
        f"an epoch of {_N_TRAINED} images": trained[:rounds],
    }
    start: Timings = {"with callbacks": [ours.before], "without": [bare.before]}
    end: Timings = {"with callbacks": [ours.after], "without": [bare.after]}
    return [
        cost("together/epoch", epoch, ours=next(iter(epoch)), other=list(epoch)[1], limit=0.1),
        cost("together/start to first step", start, ours="with callbacks", other="without", limit=None),
        cost("together/last step to end", end, ours="with callbacks", other="without", limit=None),
    ]


def _probe(images: Tensor, labels: Tensor) -> Probe:
    return Probe.from_tensors(images, labels)


def _monitor(images: Tensor, labels: Tensor) -> SaliencyMonitor:
    return SaliencyMonitor(_METHODS, _probe(images, labels), storage=Storage(save_maps=False))


def _test(images: Tensor, labels: Tensor, *, random_logit: bool) -> RandomizationTest:
    return RandomizationTest(
        _METHODS,
        _probe(images, labels),
        draws=Draws(_N_DRAWS, random_logit=random_logit),
        cascade=Cascade(at_fit_end=False),
        storage=Storage(save_maps=False),
    )


def _few(images: Tensor, labels: Tensor) -> DataLoader[Any]:
    return DataLoader(TensorDataset(images[:2], labels[:2]), batch_size=2)


def _train(first: L.Callback, data: DataLoader[Any], *further: L.Callback, max_epochs: int) -> None:
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        trainer = L.Trainer(
            default_root_dir=directory,
            max_epochs=max_epochs,
            accelerator="cpu",
            callbacks=[first, *further],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=1,
        )
        trainer.fit(Classifier(random_resnet18()), data, data)


@dataclass(frozen=True)
class _Among(LightningHost):
    """The Trainer as it looks to one group of callbacks."""

    group: Group = ()

    @property
    @override
    def callbacks(self) -> Group:
        return self.group


class _Driver(L.Callback):
    """Gives each group of callbacks its turns in one training, timed side by side."""

    def __init__(self, groups: dict[str, Group], images: Tensor, labels: Tensor, clock: Clock) -> None:
        self.groups = groups
        self.given = (random_resnet18(), images, labels)
        self.clock: Clock = clock
        self.seconds: dict[str, list[float]] = {name: [] for name in (*groups, _BY_HAND)}

    @override
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        for group in self.groups.values():
            host = _Among(trainer, pl_module, group=group)
            for moment in ("begin", "check", "start"):
                for callback in group:
                    changes = {"is_training": True} if moment == "begin" else {}
                    getattr(callback, moment)(host, **changes)
                    callback.turn_ends(host)

    @override
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        sides = {
            name: partial(self._turns, group, _Among(trainer, pl_module, group=group))
            for name, group in self.groups.items()
        }
        sides[_BY_HAND] = self._by_hand
        names = list(sides)
        shift = trainer.current_epoch % len(names)
        for name in names[shift:] + names[:shift]:
            seconds = timed(sides[name], self.clock)
            if trainer.current_epoch > 0:
                self.seconds[name].append(seconds)

    def _by_hand(self) -> None:
        # A validation runs under inference mode.
        with torch.inference_mode(False), torch.enable_grad():
            floor(*self.given)

    @staticmethod
    def _turns(group: Group, host: _Among) -> None:
        for callback in group:
            callback.validation_ends(host, is_training=True)
            callback.turn_ends(host)


class _Clock:
    """Times a training from its first and its last callback."""

    def __init__(self, clock: Clock) -> None:
        self.now = time.perf_counter if clock == "wall" else time.process_time
        self.before = self.after = self._began = self._stepped = self._batch = self._validated = 0.0
        self.batches: list[float] = []
        self.observations: list[float] = []
        self.first, self.last = _First(self), _Last(self)

    def begin(self) -> None:
        self._began = self.now()

    def end(self) -> None:
        self.after = self.now() - self._stepped

    def batch_begins(self) -> None:
        self._batch = self.now()
        self.before = self.before or self._batch - self._began

    def batch_ends(self) -> None:
        self._stepped = self.now()
        self.batches.append(self._stepped - self._batch)

    def validated(self) -> None:
        self._validated = self.now()

    def observed(self) -> None:
        self.observations.append(self.now() - self._validated)


class _First(L.Callback):
    def __init__(self, clock: _Clock) -> None:
        self.clock = clock

    @override
    def on_train_batch_end(self, *args: Any) -> None:
        self.clock.batch_ends()

    @override
    def on_validation_epoch_end(self, *args: Any) -> None:
        self.clock.validated()


class _Last(L.Callback):
    def __init__(self, clock: _Clock) -> None:
        self.clock = clock

    @override
    def on_train_batch_start(self, *args: Any) -> None:
        self.clock.batch_begins()

    @override
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.clock.observed()
