"""Planting cues into images, and training a small network on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.discovery.cues import Cue, make_cue
from benchmarks.discovery.experiments import Experiment
from benchmarks.discovery.images import chosen_classes, load, number_of
from benchmarks.discovery.spoiling import SPOILERS

__all__ = ["EPOCHS", "PROBE_A_CLASS", "Plant", "Planted", "SmallNet", "planted", "probe_rows", "trained"]

EPOCHS = 4
PROBE_A_CLASS = 96
_BATCH = 32
_LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class Plant:
    """A cue in a class.

    Args:
        name: Of the cue.
        cue: What was planted.
        class_index: The class that it gives away.
        bears: Which images bear it, bool ``[N]``.
        masks: Where they do, bool ``[N, H, W]``; ``None`` for a cue without a place.
    """

    name: str
    cue: Cue
    class_index: int
    bears: Tensor
    masks: Tensor | None


@dataclass(frozen=True)
class Planted:
    """Training images of one run.

    Args:
        images: ``[N, C, H, W]`` in [0, 1].
        labels: ``int64 [N]``.
        plants: What was planted.
        seed: Of the run.
    """

    images: Tensor
    labels: Tensor
    plants: Sequence[Plant]
    seed: int


class SmallNet(nn.Module):
    """Three blocks of a convolution, batch norm, ReLU and max-pool, and one linear layer; for 32×32 images.

    Args:
        channels: Of the images.
        classes: How many.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for given, made in ((channels, 16), (16, 32), (32, 64)):
            blocks += [nn.Conv2d(given, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(64 * 4 * 4, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores."""
        scores: Tensor = self.classifier(self.features(images).flatten(1))
        return scores


def planted(experiment: Experiment, number: int) -> Planted:
    """Return the training images of one run.

    Args:
        experiment: What is planted in which images.
        number: Which run.
    """
    seed = number_of(experiment.name, experiment.data, number)
    draws = torch.Generator().manual_seed(seed)
    images, labels = load(experiment.data, experiment.name, number)
    if experiment.n_classes is not None:
        images, labels = chosen_classes(images, labels, experiment.n_classes, seed)
    classes = torch.randperm(int(labels.max()) + 1, generator=draws).tolist()
    plants = []
    for name, index in zip(experiment.cues, classes, strict=False):
        cue = make_cue(name, images.shape[1], images.shape[2], draws)
        bears = torch.rand(len(labels), generator=draws) < torch.where(labels == index, experiment.q, experiment.r)
        changed, masks = cue.insert(images, draws)
        images = torch.where(bears[:, None, None, None], changed, images)
        plants.append(Plant(name, cue, index, bears, masks))
    if experiment.spoiler:
        images = SPOILERS[experiment.spoiler](images, draws)
    # Stored images have 8 bits.
    return Planted((255 * images).round() / 255, labels, plants, seed)


def probe_rows(data: Planted) -> Tensor:
    """Return the positions of the training images that are searched, at most 96 a class."""
    draws = torch.Generator().manual_seed(data.seed + 1)
    order = torch.randperm(len(data.labels), generator=draws)
    labels = data.labels[order]
    return torch.cat([order[labels == index][:PROBE_A_CLASS] for index in labels.unique().tolist()])


def trained(data: Planted, epochs: Sequence[int]) -> dict[int, SmallNet]:
    """Train a network, and return it as it was after some of the epochs, in evaluation mode.

    Args:
        data: What it learns.
        epochs: After which epochs, counted from 1.
    """
    torch.manual_seed(data.seed)
    channels, classes = data.images.shape[1], int(data.labels.max()) + 1
    net = SmallNet(channels, classes)
    optimizer = torch.optim.Adam(net.parameters(), _LEARNING_RATE)
    kept = {}
    for epoch in range(1, max(epochs) + 1):
        net.train()
        for rows in torch.randperm(len(data.labels)).split(_BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(data.images[rows]), data.labels[rows]).backward()
            optimizer.step()
        if epoch in epochs:
            kept[epoch] = SmallNet(channels, classes).eval()
            kept[epoch].load_state_dict(net.state_dict())
    return kept
