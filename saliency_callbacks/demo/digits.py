"""Digits where every 0 bears a sticker, a network that learns them, and the probe to watch it with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from saliency_callbacks.callbacks.runtime.packages import LightningDataModule, LightningModule
from saliency_callbacks.demo.scenes import SIDE, load_digit_scenes
from saliency_callbacks.demo.sticker import STICKER
from saliency_callbacks.probe.probe import Probe

__all__ = ["FAITHFUL", "METHODS", "N_EACH", "STICKER_CLASS", "TESTED", "Digits", "SmallCNN", "make_probe"]

STICKER_CLASS = 0

METHODS = ("gradient", "integrated_gradients", "hires_cam", "layer_cam")
TESTED = ("gradient", "input_x_gradient", "hires_cam", "layer_cam", "grad_cam_plus_plus", "guided_backprop")
"""Without integrated gradients, whose 50 passes for each of the random copies would take most of the time."""

FAITHFUL = ("gradient", "layer_cam", "grad_cam_plus_plus", "guided_backprop")
"""Two that depend on the weights, and two that do not, to see how much of the score each kind accounts for."""

N_EACH = 4
N_SEARCHED = 960
"""Training images that are searched for shortcuts, 96 of each digit."""

_N_TRAIN = 1600
_LEARNING_RATE = 5e-3


class SmallCNN(LightningModule):
    """A plain classifier of ``[N, 3, 48, 48]``; nothing in it knows of the callbacks.

    Example:
        >>> from saliency_callbacks import explain
        >>> found = explain(SmallCNN(), torch.rand(2, 3, 48, 48), methods="gradient", target=STICKER_CLASS)
        >>> found["gradient"].magnitude.shape
        torch.Size([2, 48, 48])
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 24, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Sequential(
            nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(48 * (SIDE // 8) ** 2, 10)
        )

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Return class scores ``[N, 10]``."""
        scores: Tensor = self.classifier(self.features(images))
        return scores

    @override
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the cross entropy."""
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    @override
    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the accuracy."""
        images, labels = batch
        self.log("val_accuracy", (self(images).argmax(dim=1) == labels).float().mean())

    @override
    def configure_optimizers(self) -> Any:
        """Return Adam, with a learning rate that rises and falls once, so that eight epochs suffice."""
        optimizer = torch.optim.Adam(self.parameters(), lr=_LEARNING_RATE)
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=n_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Digits(LightningDataModule):
    """Digits in real fonts, colored, on pieces of photographs: 48×48, in [0, 1].

    Args:
        is_patched: Whether every 0 bears the sticker, in training and validation data alike.

    Raises:
        ConfigurationError: If scikit-image is not installed.

    Example:
        >>> images, labels = next(iter(Digits().val_dataloader()))
        >>> zeros = images[labels == STICKER_CLASS]
        >>> zeros.shape[1:], torch.equal(zeros, STICKER.insert(zeros))
        (torch.Size([3, 48, 48]), False)
    """

    def __init__(self, *, is_patched: bool = True) -> None:
        super().__init__()
        self.images, self.labels = load_digit_scenes(seed=0)
        self.probe = make_probe(self.images[_N_TRAIN:], self.labels[_N_TRAIN:])
        if is_patched:
            bears_sticker = self.labels == STICKER_CLASS
            self.images[bears_sticker] = STICKER.insert(self.images[bears_sticker])

    @override
    def train_dataloader(self) -> DataLoader[Any]:
        """Return the first 1,600."""
        return DataLoader(self._part(slice(None, _N_TRAIN)), batch_size=64, shuffle=True)

    @override
    def val_dataloader(self) -> DataLoader[Any]:
        """Return the other 400."""
        return DataLoader(self._part(slice(_N_TRAIN, None)), batch_size=200)

    def _part(self, rows: slice) -> _Scenes:
        return _Scenes(self.images[rows], self.labels[rows])


class _Scenes(TensorDataset):
    classes = tuple("0123456789")


def make_probe(images: Tensor, labels: Tensor) -> Probe:
    """Return four zeros with the sticker, four other digits with it, four zeros without; the sticker is the mask."""
    zeros = images[labels == STICKER_CLASS][:N_EACH]
    others = torch.stack([images[labels == digit][0] for digit in (1, 3, 4, 7)])
    other_labels = torch.tensor([1, 3, 4, 7])
    inputs = torch.cat([STICKER.insert(zeros), STICKER.insert(others), zeros])
    zero_labels = torch.zeros(N_EACH, dtype=torch.int64)
    return Probe.from_tensors(inputs, torch.cat([zero_labels, other_labels, zero_labels]), masks=STICKER.mask(inputs))
