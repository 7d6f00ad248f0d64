"""A tiny model on real digits, and Trainers that leave no more behind than a test asks for."""

from __future__ import annotations

import inspect
import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers.logger import Logger
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from saliency_callbacks.sinks import MemorySink

# Older releases of Lightning have no such argument, and load everything.
WEIGHTS_ONLY = {"weights_only": True} if "weights_only" in inspect.signature(L.Trainer.fit).parameters else {}
N_TRAIN = 48
N_VAL = 40
BATCH = 12


def digits(start: int = 0, stop: int = N_TRAIN) -> TensorDataset:
    """Images ``[N, 1, 8, 8]`` in [0, 1] and labels 0 to 9."""
    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images[start:stop] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return TensorDataset(pixels, torch.tensor(labels[start:stop]))


def train_loader(**changes: Any) -> DataLoader:
    return DataLoader(digits(), **{"batch_size": BATCH, **changes})


def val_loader(**changes: Any) -> DataLoader:
    return DataLoader(digits(100, 100 + N_VAL), **{"batch_size": 20, **changes})


class Augmented(Dataset):
    """Draws from all three global generators for every item that is read."""

    def __init__(self, inner: TensorDataset) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, label = self.inner[index]
        image = torch.roll(image, random.randint(-1, 1), dims=2) + 0.05 * torch.randn(image.shape)
        return image * float(np.random.uniform(0.8, 1.2)), label  # noqa: NPY002 (the legacy generator is meant)


class Counted(Dataset):
    """Counts how often an item is read."""

    def __init__(self, inner: TensorDataset) -> None:
        self.inner = inner
        self.labels = inner.tensors[1]
        # Beside the dataset: what the reading of a probe leaves in the dataset itself is put back.
        self._log = SimpleNamespace(reads=[])

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        self.reads.append(index)
        return self.inner[index]

    @property
    def reads(self) -> list[int]:
        return self._log.reads


class Stream(IterableDataset):
    """The digits as an iterable dataset."""

    def __init__(self, inner: TensorDataset) -> None:
        self.inner = inner

    def __iter__(self):
        return (self.inner[index] for index in range(len(self.inner)))


class Dictionaries(Dataset):
    """Items as dictionaries under freely chosen names."""

    def __init__(self, inner: TensorDataset, image: str = "image", label: str = "label") -> None:
        self.inner, self.image, self.label = inner, image, label

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image, label = self.inner[index]
        return {self.image: image, self.label: label}


def small_net(*, n_classes: int = 10, noisy: bool = False) -> nn.Sequential:
    """Two convolutions and a linear head; ``noisy`` adds batch normalization and dropout."""
    middle = [nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)] if noisy else [nn.ReLU()]
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        *middle,
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(96, n_classes),
    )


def digits_net() -> nn.Sequential:
    """The network on 8×8 digits that the reference numbers were measured with."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class Classifier(L.LightningModule):
    """A plain classifier; every batch is ``(images, labels)``."""

    def __init__(self, net: nn.Module | None = None, *, optimizer: str = "sgd", seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = small_net() if net is None else net
        self.optimizer = optimizer

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return torch.optim.Adam(self.parameters(), lr=1e-2)
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class DictClassifier(Classifier):
    """A classifier whose batches are dictionaries."""

    def __init__(self, image: str = "image", label: str = "label") -> None:
        super().__init__()
        self.image, self.label = image, label

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[self.image]), batch[self.label])


class RecordingLogger(Logger):
    """Keeps every metric it is given."""

    def __init__(self, save_dir: Path) -> None:
        super().__init__()
        self.records: list[tuple[int | None, dict[str, float]]] = []
        self._save_dir = save_dir

    @property
    def name(self) -> str:
        return "recording"

    @property
    def version(self) -> str:
        return "0"

    @property
    def save_dir(self) -> str:
        return str(self._save_dir)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.records.append((step, dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is kept of these."""

    def of(self, tag: str) -> list[tuple[int | None, float]]:
        """Return the steps and values of one metric."""
        return [(step, metrics[tag]) for step, metrics in self.records if tag in metrics]


def trainer(root: Path, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
    """A silent Trainer on one CPU; without changes it runs two epochs and logs every step nowhere."""
    settings: dict[str, Any] = {
        "default_root_dir": root,
        "callbacks": list(callbacks),
        "max_epochs": 2,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
    }
    return L.Trainer(**{**settings, **changes})


def stages(sink: MemorySink) -> list[tuple[str, int]]:
    """Return stage and epoch of every observation."""
    return [(snapshot.stage, snapshot.epoch) for snapshot in sink.snapshots]


def image_mean(images: Tensor) -> Tensor:
    """A target or output function that can be written as a dotted path."""
    return images.flatten(1).mean(1)


def as_pair(batch: Any) -> tuple[Tensor, Tensor]:
    """Read a batch of :class:`Dictionaries` with names of its own."""
    return batch["scan"], batch["diagnosis"]
