"""Training a model until it has learned its labels, true ones or permuted ones."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from saliency_callbacks.callbacks.randomization.accuracy import LabelReading, training_accuracy
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.lightning import LightningHost
from saliency_callbacks.callbacks.runtime.packages import (
    Callback,
    LightningModule,
    Trainer,
    is_data_module,
    is_module,
    trainer_class,
)
from saliency_callbacks.callbacks.runtime.preconditions import uninitialized_layers
from saliency_callbacks.config.nested import describe
from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.randomization.permuted_labels import permute_loader

__all__ = ["Recipe", "Trained", "percent", "permuted"]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Args:
        build: Makes a module and its training data.
        min_accuracy: Share of its labels at which the training ends.
        max_epochs: Epochs after which it ends anyway.
        trainer_kwargs: Further arguments of the Trainer.
        reading: How inputs, labels and class scores are read.
    """

    build: Callable[[], tuple[LightningModule, Any]]
    min_accuracy: float
    max_epochs: int
    trainer_kwargs: Mapping[str, Any]
    reading: LabelReading

    def make(self) -> tuple[LightningModule, Any]:
        """Return a new module and its training data."""
        made = self.build()
        is_pair = isinstance(made, list | tuple) and len(made) == 2
        if not is_pair or not is_module(made[0]):
            raise ConfigurationError(
                f"build() returned {describe(made)}; expected a pair: a LightningModule, and a LightningDataModule or "
                "DataLoader to train it on"
            )
        lazy = uninitialized_layers(made[0])
        if lazy:
            raise ConfigurationError(
                f"build() returned a {type(made[0]).__name__} whose layers {lazy[:3]} are uninitialized before the "
                "first batch; expected a module with weights. Run one batch through it in build()"
            )
        return made[0], made[1]

    def train(self, module: LightningModule, data: Any, whose: str) -> Trained:
        """Train ``module`` until it has learned the labels of ``data``; ``whose`` says in the log which these are."""
        progress = _Progress(self, whose)
        defaults = {
            "devices": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "limit_val_batches": 0,
        }
        given = dict(self.trainer_kwargs)
        callbacks = given.pop("callbacks", None) or []
        # Callbacks keep the state of a training, and there may be two.
        callbacks = copy.deepcopy(callbacks if isinstance(callbacks, list) else [callbacks])
        make = trainer_class(module)
        trainer = make(**{**defaults, **given}, max_epochs=self.max_epochs, callbacks=[*callbacks, progress])
        trainer.fit(module, data)
        if progress.accuracy < self.min_accuracy:
            notices.warn(
                ("labels not learned", whose),
                f"data randomization: only {percent(progress.accuracy)} of the {whose} labels were learned in "
                f"{counted(progress.epochs, 'epoch')}; {percent(self.min_accuracy)} are required, so there will be no "
                "verdict. Raise `max_epochs`, train on fewer samples, or build a larger model without augmentation or "
                "dropout",
            )
        return Trained(module, trainer, progress.accuracy, progress.epochs)


@dataclass(frozen=True)
class Trained:
    """A trained module, its Trainer, and how well it has learned its labels."""

    module: LightningModule
    trainer: Trainer
    accuracy: float
    epochs: int


class _Progress(Callback):
    """Measure after each epoch how much has been learned, say so, and stop when it is enough."""

    def __init__(self, recipe: Recipe, whose: str) -> None:
        self.recipe = recipe
        self.whose = whose
        self.accuracy = 0.0
        self.epochs = 0

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out now whether labels and outputs can be read."""
        training_accuracy(LightningHost(trainer, pl_module), self.recipe.reading, n_batches=1)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the share of the labels that the model gives to the training set."""
        self.accuracy = training_accuracy(LightningHost(trainer, pl_module), self.recipe.reading)
        self.epochs += 1
        notices.tell(
            f"data randomization: epoch {self.epochs}, {percent(self.accuracy)} of the {self.whose} labels learned"
        )
        if self.accuracy >= self.recipe.min_accuracy:
            LightningHost(trainer, pl_module).stop()


@contextmanager
def permuted(data: Any, seed: int, label_key: int | str | None) -> Iterator[Any]:
    """Yield the training data with permuted labels; a datamodule is as it was afterwards."""
    if not is_data_module(data):
        yield permute_loader(data, seed=seed, label_key=label_key)
        return
    own = vars(data).get("train_dataloader")
    original = data.train_dataloader

    def train_dataloader() -> Any:
        return permute_loader(original(), seed=seed, label_key=label_key)

    # In its place, and not instead of it: its other hooks are part of the training.
    vars(data)["train_dataloader"] = train_dataloader
    try:
        yield data
    finally:
        del vars(data)["train_dataloader"]
        if own is not None:
            vars(data)["train_dataloader"] = own


def percent(share: float) -> str:
    """Return a share in words."""
    # Rounded down: 94.9% are not the 95% that were asked for.
    return f"{math.floor(round(share * 100, 6))}%"
