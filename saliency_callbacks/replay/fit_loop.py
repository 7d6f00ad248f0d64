"""A ``fit`` of a Lightning ``Trainer`` that goes where it is told instead of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from saliency_callbacks.callbacks.runtime.lightning import validating
from saliency_callbacks.callbacks.runtime.packages import LightningModule, Trainer

__all__ = ["instead_of_training", "load_weights", "prepare_dataloaders", "set_progress"]


@contextmanager
def instead_of_training(trainer: Trainer, work: Callable[[], None]) -> Iterator[None]:
    """Make ``trainer.fit`` do ``work`` where it would validate and train; all around it is as in a training."""
    loop, sanity_steps = trainer.fit_loop, trainer.num_sanity_val_steps
    trainer.num_sanity_val_steps = 0
    vars(loop)["run"] = work
    try:
        yield
    finally:
        del vars(loop)["run"]
        trainer.num_sanity_val_steps = sanity_steps


def prepare_dataloaders(trainer: Trainer) -> None:
    """Make the dataloaders of a training, as its beginning would."""
    trainer.fit_loop.setup_data()
    if trainer.enable_validation and trainer.val_dataloaders is None:
        with validating(trainer):
            trainer.fit_loop.epoch_loop.val_loop.setup_data()


def set_progress(trainer: Trainer, *, epoch: int, step: int, global_step: int) -> None:
    """Say how far the training is: its epoch, the step that metrics are logged under, and ``global_step``."""
    loop = trainer.fit_loop
    loop.epoch_progress.current.completed = epoch
    loop.epoch_loop._batches_that_stepped = step
    loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed = global_step
    loop.epoch_loop.manual_optimization.optim_step_progress.total.completed = global_step


def load_weights(trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Load the weights of a checkpoint as a resumed training would.

    Raises:
        RuntimeError: If they are not those of the module.
    """
    module.on_load_checkpoint(checkpoint)
    trainer.strategy.load_model_state_dict(checkpoint, strict=module.strict_loading)
