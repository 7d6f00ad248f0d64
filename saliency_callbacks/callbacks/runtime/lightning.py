"""Everything that depends on how Lightning behaves; the rest of the package does not know its quirks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch

from saliency_callbacks.callbacks.runtime.packages import (
    Callback,
    LightningDataModule,
    LightningModule,
    RunningStage,
    TensorBoardLogger,
    Trainer,
    TrainerFn,
    base_module,
    is_data_module,
    is_module,
    is_overridden,
    move_data_to_device,
    rank_zero_info,
    rank_zero_warn,
    seed_everything,
    trainer_class,
)

__all__ = [
    "Callback",
    "LightningDataModule",
    "LightningModule",
    "TensorBoardLogger",
    "Trainer",
    "converted",
    "dataloader",
    "epoch_logging_step",
    "forward_context",
    "has_forward",
    "is_data_module",
    "is_dry_run",
    "is_fitting",
    "is_module",
    "is_training",
    "log_directly",
    "log_scalars",
    "logging_step",
    "move_to_device",
    "prepare_dataloaders",
    "rank_zero_info",
    "rank_zero_warn",
    "run_directory",
    "seed_everything",
    "trainer_class",
    "transferred",
    "without_logging",
]


def logging_step(trainer: Trainer) -> int:
    """Return the step under which Lightning logs its own metrics of this moment.

    With several optimizers or gradient accumulation this is not ``global_step``.
    """
    epoch_loop = getattr(trainer.fit_loop, "epoch_loop", None)
    return int(getattr(epoch_loop, "_batches_that_stepped", trainer.global_step))


def epoch_logging_step(trainer: Trainer) -> int:
    """Return the step under which Lightning logs what is logged in ``on_train_epoch_end``: that of the last batch."""
    return max(0, logging_step(trainer) - 1)


def dataloader(trainer: Trainer, source: str, index: int) -> Any | None:
    """Return one of the Trainer's own dataloaders, never a new one; ``None`` where there is none (yet).

    Args:
        trainer: The Trainer.
        source: ``"val"`` or ``"train"``.
        index: Which of several.

    Raises:
        IndexError: If there are dataloaders, but not that many.
    """
    loaders = trainer.val_dataloaders if source == "val" else trainer.train_dataloader
    if loaders is None:
        return None
    flat = _flatten(loaders)
    if not flat:
        return None
    if index >= len(flat):
        raise IndexError(f"dataloader_idx={index}, but there are {len(flat)} {source} dataloaders")
    return flat[index]


def _flatten(loaders: Any) -> list[Any]:
    if isinstance(loaders, Mapping):
        return [loader for value in loaders.values() for loader in _flatten(value)]
    if isinstance(loaders, (list, tuple)):
        return [loader for value in loaders for loader in _flatten(value)]
    return [loaders]


def converted(trainer: Trainer, module: LightningModule, batch: Any) -> Any:
    """Return a batch that is already what the model takes, in the Trainer's precision and on the module's device."""
    return move_data_to_device(trainer.precision_plugin.convert_input(batch), module.device)


def transferred(trainer: Trainer, module: LightningModule, batch: Any, dataloader_idx: int) -> Any:
    """Return ``batch`` as a validation step would receive it.

    Precision conversion, then the module's batch-transfer hooks, with the Trainer in its validating stage: hooks that
    augment on the device do so while training only.
    """
    with _validating(trainer):
        batch = trainer.precision_plugin.convert_input(batch)
        batch = module._on_before_batch_transfer(batch, dataloader_idx=dataloader_idx)
        return trainer.strategy.batch_to_device(batch, dataloader_idx=dataloader_idx)


@contextmanager
def _validating(trainer: Trainer) -> Iterator[None]:
    stage = trainer.state.stage
    trainer.state.stage = RunningStage.VALIDATING
    try:
        yield
    finally:
        trainer.state.stage = stage


def forward_context(trainer: Trainer) -> AbstractContextManager[Any]:
    """Return the context of the Trainer's own forwards, e.g. its autocast."""
    context: AbstractContextManager[Any] = trainer.precision_plugin.forward_context()
    return context


def is_dry_run(trainer: Trainer) -> bool:
    """Return whether the Trainer only tries its code out (``fast_dev_run``), so that nothing is to be written."""
    return bool(getattr(trainer, "fast_dev_run", False))


def is_fitting(trainer: Trainer) -> bool:
    """Return whether the Trainer is in ``fit``, training or validating."""
    return trainer.state.fn == TrainerFn.FITTING


def is_training(trainer: Trainer) -> bool:
    """Return whether the Trainer is in a ``fit`` that trains, also while it validates there."""
    return is_fitting(trainer) and "run" not in vars(trainer.fit_loop)


def move_to_device(batch: Any, module: LightningModule) -> Any:
    """Return ``batch`` on the module's device."""
    return move_data_to_device(batch, module.device)


@contextmanager
def without_logging(module: torch.nn.Module) -> Iterator[None]:
    """Make ``module.log`` and ``module.log_dict`` do nothing, for modules that log in their ``forward``."""
    attributes = vars(module)
    hidden: dict[str, Any] = {name: attributes[name] for name in ("log", "log_dict") if name in attributes}
    try:
        attributes.update(log=_ignore, log_dict=_ignore)
        yield
    finally:
        del attributes["log"], attributes["log_dict"]
        attributes.update(hidden)


def _ignore(*args: Any, **kwargs: Any) -> None:
    pass


def has_forward(module: LightningModule) -> bool:
    """Return whether the module defines ``forward``."""
    base = base_module(module)
    return base is None or is_overridden("forward", module, parent=base)


def log_scalars(module: LightningModule, scores: Mapping[str, float]) -> None:
    """Log scores so that ``EarlyStopping`` and ``ModelCheckpoint`` can monitor them.

    All ranks must call it, with the same scores. To take the highest of equal values changes none; that they are
    synchronised at all keeps Lightning from recommending it, tag by tag.
    """
    for tag, value in scores.items():
        # `self.log`, which Lightning binds to callbacks, would make them unpicklable.
        module.log(
            tag,
            # Where the model is: processes on GPUs cannot synchronise what is on the CPU.
            torch.tensor(value, device=module.device),
            on_step=False,
            on_epoch=True,
            batch_size=1,
            add_dataloader_idx=False,
            sync_dist=True,
            reduce_fx="max",
        )


def log_directly(trainer: Trainer, scores: Mapping[str, float], step: int) -> None:
    """Log scores where ``module.log`` is not allowed: before the training starts and when it ends."""
    for logger in trainer.loggers if scores else ():
        logger.log_metrics({**scores, "epoch": trainer.current_epoch}, step=step)


def run_directory(trainer: Trainer) -> Path | None:
    """Return the directory of this run, derived from its first logger; ``None`` for a remote one.

    All ranks must call it.
    """
    directory = _logger_directory(trainer.loggers[0]) if trainer.loggers else trainer.default_root_dir
    directory = trainer.strategy.broadcast(directory)
    if directory is None or "://" in str(directory):
        return None
    return Path(directory)


def _logger_directory(logger: Any) -> str | None:
    log_dir = getattr(logger, "log_dir", None)
    if isinstance(log_dir, str):
        return log_dir
    if not isinstance(logger.save_dir, (str, Path)) or "://" in str(logger.save_dir):
        return None
    # Loggers without a directory of their own share `save_dir` between runs.
    parts = [re.sub(r"[^\w.-]+", "_", str(part)).strip(".") for part in (logger.name, logger.version) if part]
    return str(Path(logger.save_dir, *filter(None, parts)))


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
        with _validating(trainer):
            trainer.fit_loop.epoch_loop.val_loop.setup_data()


def set_progress(trainer: Trainer, *, epoch: int, step: int, global_step: int) -> None:
    """Say how far the training is: ``current_epoch``, :func:`logging_step` and ``global_step``."""
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
