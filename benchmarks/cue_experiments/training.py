"""Trainings on scikit-learn's digits with and without a planted cue, monitored by a cue alarm.

Every run is a real Trainer on the 8×8 digits; the probe and the validation set never bear the cue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from benchmarks.cue_experiments.settings import N_PROBE, N_TRAIN, THRESHOLD, Experiment
from saliency_callbacks import AlarmRule, CueAlarm, Probe, SaliencyMonitor, Storage
from saliency_callbacks.callbacks.cue.group_accuracy import GroupAccuracy
from saliency_callbacks.cues.basic import Cue
from saliency_callbacks.scores.counterfactual import Statistic, cue_effect
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["Run", "Watch", "bounds_by_class", "train"]

_PROBE = slice(N_TRAIN, N_TRAIN + N_PROBE)


@dataclass(frozen=True)
class Watch:
    """What one alarm saw.

    Args:
        scores: Name of a score → its value after each epoch.
        fired: Epoch in which the alarm first went on, counted from 1; ``None`` if it never did.
    """

    scores: Mapping[str, Sequence[float]]
    fired: int | None

    def after(self, epoch: int, name: str) -> float:
        """Return a score after an epoch, counted from 1."""
        return self.scores[name][epoch - 1]

    def last(self, name: str) -> float:
        """Return a score after the last epoch."""
        return self.scores[name][-1]


@dataclass(frozen=True, eq=False)
class Run:
    """One training.

    Args:
        watches: What the alarm on each statistic saw.
        drift: Drift of the gradient maps from one epoch to the next; empty where it was not followed.
        groups: Accuracy of each class without and with the cue, after the training.
        net: The trained network.
    """

    watches: Mapping[Statistic, Watch]
    drift: Sequence[float]
    groups: GroupAccuracy
    net: nn.Module

    @property
    def watch(self) -> Watch:
        """The first alarm."""
        return next(iter(self.watches.values()))


def train(experiment: Experiment, seed: int, epochs: int) -> Run:
    """Train once under watch.

    Args:
        experiment: What is trained on.
        seed: Decides the weights, the order of the images and which of them bear the cue.
        epochs: How long.
    """
    torch.manual_seed(seed)
    images, labels = _digits(is_binary=experiment.is_binary)
    probe = Probe.from_tensors(images[_PROBE], labels[_PROBE])
    scores = {statistic: _ScoreSink() for statistic in experiment.statistics}
    alarms = {
        statistic: CueAlarm(
            experiment.cue,
            experiment.suspect,
            probe,
            rule=AlarmRule(statistic=statistic, threshold=THRESHOLD),
            on_alarm=(),
            storage=Storage(save_maps=False),
            sinks=[sink],
            on_error="raise",
            namespace=statistic,
        )
        for statistic, sink in scores.items()
    }
    maps = _ScoreSink()
    monitor = SaliencyMonitor("gradient", probe, storage=Storage(save_maps=False), sinks=[maps], on_error="raise")
    model = _Classifier(experiment, images, labels, seed)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        callbacks=[*alarms.values(), *([monitor] if experiment.with_drift else [])],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        # The cue may come into the training images later.
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(model)
    groups = next(iter(alarms.values())).groups
    assert groups is not None, "measured at the end of the training"
    return Run(
        watches={statistic: _watch(alarm, scores[statistic]) for statistic, alarm in alarms.items()},
        drift=maps.by_name().get("drift_previous", ()),
        groups=groups,
        net=model.net.eval(),
    )


def bounds_by_class(net: nn.Module, cue: Cue) -> list[float]:
    """Return the lower bound of the effect on the probe with each digit as the suspect."""
    images, labels = _digits(is_binary=False)
    with torch.no_grad():
        clean, cued = net(images[_PROBE]), net(cue.insert(images[_PROBE]))
    return [
        cue_effect(clean, cued, suspect, labels[_PROBE] != suspect).lower_bound("effect")
        for suspect in range(clean.shape[1])
    ]


class _Classifier(L.LightningModule):
    def __init__(self, experiment: Experiment, images: Tensor, labels: Tensor, seed: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.ReLU(),
            nn.Linear(64, 2 if experiment.is_binary else 10),
        )
        self._first_epoch = experiment.first_epoch
        training = images[:N_TRAIN], labels[:N_TRAIN]
        self._clean = TensorDataset(*training)
        self._cued = TensorDataset(_planted(*training, experiment, seed), training[1])
        self._validation = TensorDataset(images[N_TRAIN:], labels[N_TRAIN:])

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        return logits

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        return nn.functional.cross_entropy(self(images), labels)

    @override
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.log("val_loss", nn.functional.cross_entropy(self(images), labels))

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    @override
    def train_dataloader(self) -> Any:
        has_cue = self.current_epoch + 1 >= self._first_epoch
        return DataLoader(self._cued if has_cue else self._clean, batch_size=64, shuffle=True)

    @override
    def val_dataloader(self) -> Any:
        return DataLoader(self._validation, batch_size=256)


class _ScoreSink:
    """Keeps scores, and asks for no picture to be drawn."""

    def __init__(self) -> None:
        self._snapshots: list[Snapshot] = []

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Keep one observation of the training."""
        if snapshot.stage == "fit":
            self._snapshots.append(snapshot)

    def by_name(self) -> dict[str, tuple[float, ...]]:
        """Return the last part of each tag, and the values after each epoch."""
        tags = self._snapshots[-1].scores if self._snapshots else ()
        return {tag.rpartition("/")[2]: tuple(snapshot.scores[tag] for snapshot in self._snapshots) for tag in tags}


def _digits(*, is_binary: bool) -> tuple[Tensor, Tensor]:
    """Return images ``[N, 1, 8, 8]`` in [0, 1] and labels ``[N]``."""
    pixels, digits = load_digits(return_X_y=True)
    labels = torch.tensor(digits)
    images = torch.tensor(pixels / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return images, (labels >= 5).long() if is_binary else labels


def _planted(images: Tensor, labels: Tensor, experiment: Experiment, seed: int) -> Tensor:
    share = torch.where(labels == experiment.suspect, experiment.q, experiment.r)
    bears = torch.rand(len(images), generator=torch.Generator().manual_seed(seed)) < share
    return torch.where(bears[:, None, None, None], experiment.cue.insert(images), images)


def _watch(alarm: CueAlarm, sink: _ScoreSink) -> Watch:
    fired = next((evaluation.epoch + 1 for evaluation in alarm.history if evaluation.fired), None)
    return Watch(scores=sink.by_name(), fired=fired)
