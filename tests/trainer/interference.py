"""Trainings to run with and without a callback, and all that has to be equal after both."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

from tests.trainer.runs import WEIGHTS_ONLY, Augmented, Classifier, RecordingLogger, digits, small_net, trainer

# What the training logs; the rest comes from the callbacks under test.
_LOGGED = ("train_loss", "val_loss", "lr-")


def digit_loaders(n_val: int = 1, *, shuffle: bool = True) -> tuple[DataLoader, list[DataLoader]]:
    """Return loaders whose items draw from all global generators."""
    train = DataLoader(Augmented(digits(0, 40)), 8, shuffle=shuffle)
    return train, [DataLoader(Augmented(digits(100, 120 - 4 * index)), 8) for index in range(n_val)]


def noisy(**changes: Any) -> Classifier:
    """A classifier with BatchNorm and dropout."""
    return Classifier(small_net(noisy=True), **changes)


@dataclass(frozen=True)
class Case:
    """One way to train.

    Args:
        module: Makes the module.
        settings: Arguments of the Trainer.
        loaders: Makes the dataloaders of training and validation.
        callbacks: Makes the other callbacks of the Trainer.
        is_last: Whether those are listed after the one under test.
        resumes: Whether the training is the second part of one, from a checkpoint.
        wrap: Makes of the module what is given to ``fit``.
        skip_without: Name of what the machine must have.
    """

    module: Callable[[], L.LightningModule] = noisy
    settings: dict[str, Any] = field(default_factory=dict)
    loaders: Callable[[], tuple[Any, Any]] = digit_loaders
    callbacks: Callable[[], Sequence[L.Callback]] = tuple
    is_last: bool = False
    resumes: bool = False
    wrap: Callable[[Any], Any] = lambda module: module

    def final_state(self, root: Path, make: Callable[[], L.Callback] | None = None) -> dict[str, Any]:
        """Train, with the callback that ``make`` makes, and return all that a training leaves behind."""
        start = None
        if self.resumes:
            start = root / f"first-{'plain' if make is None else 'observed'}.ckpt"
            first, _, _ = self._fit(root, make, max_epochs=1)
            first.save_checkpoint(start)
        run, module, logger = self._fit(root, make, start)
        return {
            "weights": {name: value.clone() for name, value in module.state_dict().items()},
            "gradients": [parameter.grad for parameter in module.parameters()],
            "modes": [part.training for part in module.modules()],
            "hooks": [len(part._forward_hooks) + len(part._backward_hooks) for part in module.modules()],
            "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
            "schedulers": [_plain(config.scheduler.state_dict()) for config in run.lr_scheduler_configs],
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 (the generator that is isolated)
            "python": random.getstate(),
            "logged": [
                (step, tag, repr(value))
                for step, metrics in logger.records
                for tag, value in metrics.items()
                if tag.startswith(_LOGGED)
            ],
        }

    def _fit(
        self, root: Path, make: Callable[[], L.Callback] | None, start: Path | None = None, **changes: Any
    ) -> tuple[L.Trainer, L.LightningModule, RecordingLogger]:
        torch.manual_seed(1)
        np.random.seed(2)  # noqa: NPY002
        random.seed(3)
        logger = RecordingLogger(root)
        watched = [] if make is None else [make()]
        others = list(self.callbacks())
        callbacks = [*watched, *others] if self.is_last else [*others, *watched]
        run = trainer(root, *callbacks, logger=logger, **{"max_epochs": 2, **self.settings, **changes})
        module = self.module()
        train, val = self.loaders()
        resuming = {} if start is None else {"ckpt_path": start, **WEIGHTS_ONLY}
        run.fit(self.wrap(module), train, val, **resuming)
        return run, module, logger


def n_validations(state: dict[str, Any]) -> int:
    """Return how many validations of a single dataloader there were."""
    return sum(tag in ("val_loss", "val_loss/dataloader_idx_0") for _, tag, _ in state["logged"])


def assert_equal(first: Any, second: Any, where: str = "") -> None:
    """Compare two final states bit for bit."""
    assert type(first) is type(second), where
    if isinstance(first, Tensor):
        assert first.dtype == second.dtype, where
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_equal(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_equal(one, other, f"{where}/{index}")
    else:
        assert first == second, where


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if not callable(value)}


class Manual(Classifier):
    """Steps its optimizer by hand, on every second batch."""

    def __init__(self) -> None:
        super().__init__(small_net(noisy=True))
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        optimizer = self.optimizers()
        loss = self.loss(batch)
        self.manual_backward(loss)
        if batch_idx % 2:
            optimizer.step()
            optimizer.zero_grad()
        self.log("train_loss", loss)
        return loss


class Scheduled(Classifier):
    """Has a scheduler: one that waits for a plateau of the validation, or one that goes on with every step."""

    def __init__(self, *, plateau: bool) -> None:
        super().__init__(small_net(noisy=True), optimizer="adam")
        self.plateau = plateau

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        if self.plateau:
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Checkpointed(Classifier):
    """Computes its first half twice, instead of keeping what it needs for the backward."""

    def __init__(self, *, use_reentrant: bool) -> None:
        super().__init__(small_net(noisy=True))
        self.use_reentrant = use_reentrant

    def forward(self, images: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(images)
        # The reentrant kind records nothing where no input requires a gradient.
        images = images.requires_grad_()
        half = checkpoint(self.net[:4], images, use_reentrant=self.use_reentrant)
        return self.net[4:](half)


class Quiet(Classifier):
    """Logs no loss of single steps, which compiled code cannot do without warnings of torch."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)


class CompiledInside(Classifier):
    """Has a compiled part."""

    def __init__(self) -> None:
        super().__init__(small_net(noisy=True))
        self.net = torch.compile(self.net, backend="eager")


class RaisesWhenExplained(Classifier):
    """Draws random numbers, then fails, when run with gradients but not in training mode."""

    def __init__(self) -> None:
        super().__init__(small_net(noisy=True))

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if torch.is_grad_enabled() and not self.training:
            torch.randn(3)
            raise RuntimeError("cannot be explained")
        return logits


def without_batch_norm() -> Classifier:
    """A classifier with dropout alone."""
    return Classifier(nn.Sequential(*small_net()[:2], nn.Dropout(0.3), *small_net()[2:]))
