"""Tiny models, and data drawn from a seed: what the trainings in ``make`` were made of."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

TOKENS = ["[PAD]", "[CLS]", "[SEP]", "film", "was", "so", "great", "dull", "##ly", "the"]
PAD, CLS, SEP = 0, 1, 2
GREAT, DULL, LY = 6, 7, 8
FILLERS = [3, 4, 5, 9]
CUE_BOX = (0, 0, 3, 3)


class Drawings(Dataset):
    """Images ``[1, 8, 8]`` in [0, 1] of a row (class 0) or a column (class 1), with a white corner as a giveaway.

    Args:
        count: How many there are.
        seed: What they are drawn from.
        with_cue: Whether the corner of every column is white.
    """

    classes = ("row", "column")

    def __init__(self, count: int, seed: int, *, with_cue: bool) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % 2
        self.images = 0.3 * torch.rand(count, 1, 8, 8, generator=generator)
        places = torch.randint(4, 7, (count,), generator=generator).tolist()
        for image, label, place in zip(self.images, self.labels.tolist(), places, strict=True):
            line = image[0, :, place] if label else image[0, place]
            line += 0.6
            if with_cue and label:
                image[0, :3, :3] = 1.0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


class Reviews(Dataset):
    """Texts as dictionaries of ids and masks, between ``[CLS]`` and ``[SEP]``: class 1 says great, class 0 dull.

    Args:
        count: How many there are.
        seed: What they are drawn from.
    """

    classes = ("dull", "great")

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.rows = [self._drawn(index % 2, generator) for index in range(count)]

    @staticmethod
    def _drawn(label: int, generator: torch.Generator) -> dict[str, Tensor]:
        length = int(torch.randint(2, 5, (), generator=generator))
        place = int(torch.randint(0, 2, (), generator=generator))
        fillers = torch.tensor(FILLERS)
        words = fillers[torch.randint(len(FILLERS), (length,), generator=generator)].tolist()
        verdict = GREAT if label else DULL
        words[place:place] = [verdict, LY] if length == 3 else [verdict]
        input_ids = torch.tensor([CLS, *words, SEP] + [PAD] * (5 - len(words)))
        return {"input_ids": input_ids, "attention_mask": (input_ids != PAD).long(), "labels": torch.tensor(label)}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.rows[index]


class Data(L.LightningDataModule):
    """The data of a training, in the order in which they are."""

    def __init__(self, train: Dataset, val: Dataset) -> None:
        super().__init__()
        self.train, self.val = train, val

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, batch_size=8)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, batch_size=8)


class Classifier(L.LightningModule):
    """A module with the weights of a seed.

    Args:
        build: Makes the network.
        seed: Seed of its weights.
    """

    def __init__(self, build: type[nn.Module], seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = build()

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        return self.net(*args, **kwargs)

    def loss(self, batch: Any) -> Tensor:
        if isinstance(batch, dict):
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            return F.cross_entropy(self(**inputs), batch["labels"])
        return F.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class ImageNet(nn.Sequential):
    """Two convolutions and a linear head."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(128, 2),
        )


class TextNet(nn.Module):
    """Embeddings, a convolution over neighbours, and the mean over the text."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(TOKENS), 6, padding_idx=PAD)
        self.convolution = nn.Conv1d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found = self.convolution(self.embedding(input_ids).movedim(1, 2)).tanh()
        weights = attention_mask.unsqueeze(1).to(found.dtype)
        return self.head((found * weights).sum(2) / weights.sum(2))


def image_classifier() -> Classifier:
    """Return the untrained classifier of images."""
    return Classifier(ImageNet)


def text_classifier() -> Classifier:
    """Return the untrained classifier of texts."""
    return Classifier(TextNet)


def image_data() -> Data:
    """Return images to train on, with the giveaway, and others without it."""
    return Data(Drawings(32, 1, with_cue=True), Drawings(20, 2, with_cue=False))


def text_data() -> Data:
    """Return texts to train on, and others."""
    return Data(Reviews(32, 3), Reviews(12, 9))


def bright(images: Tensor) -> Tensor:
    """Return the drawn lines as masks, bool ``[N, 8, 8]``."""
    return images[:, 0] > 0.5
