"""A whole observation of the monitor in a real training, against the computation in it."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from benchmarks.cost.measure import Clock, Row, Timings, cost, timed
from benchmarks.cost.workload import MEAN, STD, Workload, photographs, random_resnet18
from saliency_callbacks import Appearance, Probe, SaliencyMonitor
from saliency_callbacks.callbacks.saliency.history import Frame, Frames
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.targets.selectors import Labels

__all__ = ["BLOCKED", "WHOLE", "Classifier", "TimedMonitor", "measure_observation", "time_observations"]

WHOLE = "an observation until it is written"
"""Side: an observation until everything is written."""
BLOCKED = "the part that the training waits for"
"""Side: an observation until the training goes on."""

_METHODS = ("gradient", "grad_cam", "guided_backprop")
_COMPUTE = "its compute alone"


def measure_observation(workload: Workload) -> list[Row]:
    """Three methods, rendered and written to TensorBoard and to disk, with filmstrips as long as they get."""
    images, labels = photographs(workload.images, workload.size)
    monitor = TimedMonitor(_METHODS, images, labels, workload.clock, beside=_COMPUTE)
    seconds = time_observations(monitor, random_resnet18(), workload.rounds)
    return [
        cost("observation", seconds, ours=WHOLE, other=_COMPUTE, limit=1.35),
        cost("observation", seconds, ours=BLOCKED, other=_COMPUTE, limit=1.15),
    ]


def time_observations(monitor: TimedMonitor, network: nn.Module, rounds: int) -> Timings:
    """Return the seconds of ``rounds`` observations of a training, and of what is measured beside each."""
    few = DataLoader(TensorDataset(monitor.images[:2], monitor.labels[:2]), batch_size=2)
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        # About workers and batch sizes of the loaders, which are not what is measured.
        warnings.filterwarnings("ignore", module="lightning")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        logger = TensorBoardLogger(directory, name="observation")
        trainer = L.Trainer(
            # One more epoch to warm up.
            max_epochs=rounds + 1,
            accelerator="cpu",
            callbacks=[monitor],
            logger=logger,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        trainer.fit(Classifier(network), few, few)
        _check_written(Path(logger.log_dir))
    return monitor.seconds


class Classifier(L.LightningModule):
    """A network in a training whose steps are as cheap as can be."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        return torch.nn.functional.cross_entropy(self(images), labels)

    @override
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.log("val_loss", torch.nn.functional.cross_entropy(self(images), labels))

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-5)


class TimedMonitor(SaliencyMonitor):
    """Times its own observations, and beside each another work on the same model, inputs and settings.

    Args:
        methods: What is observed.
        images: The probe.
        labels: Its labels.
        clock: What the seconds are.
        beside: Name of the other work.
    """

    def __init__(self, methods: Sequence[str], images: Tensor, labels: Tensor, clock: Clock, *, beside: str) -> None:
        probe = Probe.from_tensors(images, labels)
        super().__init__(methods, probe, appearance=Appearance(normalization=(MEAN, STD)))
        self.images = images
        self.labels = labels
        self.clock: Clock = clock
        self.beside = beside
        self.seconds: dict[str, list[float]] = {WHOLE: [], BLOCKED: [], beside: []}

    def work_beside(self, network: nn.Module) -> Any:
        """Do the other work: the engine alone."""
        settings = replace(self.settings, target_layers=list(self.state.target_layers))
        return run_engine(network, self.images, settings, [Labels(self.labels)]).attributions

    @override
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        self._fill_filmstrips()
        observe = partial(super().on_validation_epoch_end, trainer, pl_module)
        other = partial(self.work_beside, pl_module)
        sides = [partial(self._time_observation, trainer, observe), lambda: {self.beside: timed(other, self.clock)}]
        for side in sides if trainer.current_epoch % 2 else sides[::-1]:
            for name, seconds in side().items():
                if trainer.current_epoch > 0:
                    self.seconds[name].append(seconds)

    def _time_observation(self, trainer: Any, observe: Callable[[], Any]) -> dict[str, float]:
        blocked = timed(observe, self.clock)
        return {BLOCKED: blocked, WHOLE: blocked + timed(partial(self._finish_writing, trainer), self.clock)}

    def _finish_writing(self, trainer: Any) -> None:
        assert self._writer is not None, "opened by the first observation"
        self._writer.drain()
        # TensorBoard has a thread of its own, which would go on during whatever is measured next.
        trainer.logger.experiment.flush()

    def _fill_filmstrips(self) -> None:
        histories = {
            name: replace(history, frames=_longest(history.frames.kept[0]))
            for name, history in self.state.histories.items()
        }
        self.state = replace(self.state, histories=histories)


def _longest(frame: Frame) -> Frames:
    frames = Frames()
    while len(frames.kept) < frames.limit - 1:
        frames = frames.added(frame)
    return frames


def _check_written(directory: Path) -> None:
    """Make sure that what was measured is the whole work."""
    if not list(directory.glob("events.*")) or not list(directory.glob("saliency/maps/*.safetensors")):
        raise RuntimeError(f"{directory} has no event file or no raw maps; the observation did not write everything")
