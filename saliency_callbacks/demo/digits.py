"""Digits where every 0 has a white patch, a network that learns them, and the probe to watch it with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from saliency_callbacks.callbacks.runtime.packages import LightningDataModule, LightningModule
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.probe.probe import Probe

__all__ = [
    "METHODS",
    "N_EACH",
    "PATCH",
    "PATCHED_CLASS",
    "TESTED",
    "Digits",
    "SmallCNN",
    "load_tinted_digits",
    "make_probe",
]

PATCHED_CLASS = 0
PATCH = PatchCue((2, 2, 6, 6))
"""Top, left, height, width; white."""

METHODS = ("gradient", "integrated_gradients", "hires_cam", "layer_cam")
TESTED = ("gradient", "input_x_gradient", "hires_cam", "layer_cam", "grad_cam_plus_plus", "guided_backprop")
"""Without integrated gradients, whose 50 passes for each of the random copies would take most of the time."""

N_EACH = 4
_N_TRAIN = 1500


class SmallCNN(LightningModule):
    """A plain classifier of ``[N, 3, 32, 32]``; nothing in it knows of the callbacks.

    Example:
        >>> from saliency_callbacks import explain
        >>> found = explain(SmallCNN(), torch.rand(2, 3, 32, 32), methods="gradient", target=PATCHED_CLASS)
        >>> found["gradient"].magnitude.shape
        torch.Size([2, 32, 32])
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(32 * 4 * 4, 10))

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
    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=2e-3)


class Digits(LightningDataModule):
    """Scikit-learn's digits, in color and enlarged to 32×32.

    Args:
        is_patched: Whether every 0 has the patch, in training and validation data alike.

    Raises:
        ConfigurationError: If scikit-learn is not installed.

    Example:
        >>> images, labels = next(iter(Digits().val_dataloader()))
        >>> zeros = images[labels == PATCHED_CLASS]
        >>> zeros.shape[1:], bool((zeros[:, :, 2:8, 2:8] == 1).all())
        (torch.Size([3, 32, 32]), True)
    """

    def __init__(self, *, is_patched: bool = True) -> None:
        super().__init__()
        self.images, self.labels = load_tinted_digits(seed=0)
        self.probe = make_probe(self.images[_N_TRAIN:], self.labels[_N_TRAIN:])
        if is_patched:
            bears_patch = self.labels == PATCHED_CLASS
            self.images = torch.where(bears_patch[:, None, None, None], PATCH.insert(self.images), self.images)

    @override
    def train_dataloader(self) -> DataLoader[Any]:
        """Return the first 1,500."""
        return DataLoader(self._part(slice(None, _N_TRAIN)), batch_size=64, shuffle=True)

    @override
    def val_dataloader(self) -> DataLoader[Any]:
        """Return the other 297."""
        return DataLoader(self._part(slice(_N_TRAIN, None)), batch_size=256)

    def _part(self, rows: slice) -> TensorDataset:
        return TensorDataset(self.images[rows], self.labels[rows])


def load_tinted_digits(seed: int) -> tuple[Tensor, Tensor]:
    """Return the 1,797 digits as pictures ``[N, 3, 32, 32]`` in [0, 1] and labels; each has its own ink and paper.

    Raises:
        ConfigurationError: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "the demo needs the digits of scikit-learn, which is not installed; "
            "expected it from: pip install 'saliency-callbacks[examples]'"
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    small = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    large = F.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
    generator = torch.Generator().manual_seed(seed)
    colors = torch.rand(len(large), 3, 1, 1, generator=generator)
    bright = colors / colors.amax(dim=1, keepdim=True)
    # Little of the weakest channel, so that no digit is white.
    ink = bright - 0.8 * bright.amin(dim=1, keepdim=True)
    paper = 0.3 * F.interpolate(torch.rand(len(large), 3, 16, 16, generator=generator), size=(32, 32), mode="bilinear")
    return large * ink + (1 - large) * paper, torch.tensor(labels)


def make_probe(images: Tensor, labels: Tensor) -> Probe:
    """Return four zeros with the patch, four other digits with it, and four zeros without; the patch is the mask."""
    zeros = images[labels == PATCHED_CLASS][:N_EACH]
    others = torch.stack([images[labels == digit][0] for digit in (1, 3, 4, 7)])
    other_labels = torch.tensor([1, 3, 4, 7])
    inputs = torch.cat([PATCH.insert(zeros), PATCH.insert(others), zeros])
    zero_labels = torch.zeros(N_EACH, dtype=torch.int64)
    return Probe.from_tensors(inputs, torch.cat([zero_labels, other_labels, zero_labels]), masks=PATCH.mask(inputs))
