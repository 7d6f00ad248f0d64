"""Everything that depends on how Lightning behaves; the rest of the package does not know its quirks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from saliency_callbacks.errors import ConfigurationError

if TYPE_CHECKING or find_spec("lightning"):
    from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
    from lightning.pytorch.trainer.states import RunningStage, TrainerFn
    from lightning.pytorch.utilities import move_data_to_device, rank_zero_info, rank_zero_warn
    from lightning.pytorch.utilities.model_helpers import is_overridden
else:  # only the stand-alone package is installed
    from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
    from pytorch_lightning.trainer.states import RunningStage, TrainerFn
    from pytorch_lightning.utilities import (
        move_data_to_device,
        rank_zero_info,
        rank_zero_warn,
    )
    from pytorch_lightning.utilities.model_helpers import is_overridden

__all__ = [
    "Callback",
    "LightningDataModule",
    "LightningModule",
    "Trainer",
    "check_strategy",
    "converted",
    "dataloader",
    "do_all",
    "epoch_logging_step",
    "forward_context",
    "from_all_ranks",
    "from_rank_zero",
    "gathered",
    "has_forward",
    "has_own_data",
    "has_sharded_weights",
    "is_dry_run",
    "is_fitting",
    "log_directly",
    "log_scalars",
    "logging_step",
    "move_to_device",
    "rank_zero_info",
    "rank_zero_warn",
    "run_directory",
    "transferred",
    "without_logging",
    "world_size",
]

# Strategies that hide the parameters of a module from it, so that neither layers nor weights are what they seem.
_REFUSED = ("DeepSpeedStrategy", "FSDPStrategy", "XLAFSDPStrategy")


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
    return is_overridden("forward", module, parent=LightningModule) if isinstance(module, LightningModule) else True


def log_scalars(module: LightningModule, scores: Mapping[str, float]) -> None:
    """Log scores so that ``EarlyStopping`` and ``ModelCheckpoint`` can monitor them.

    All ranks must call it, with the same scores. To take the highest of equal values changes none; that they are
    synchronised at all keeps Lightning from recommending it, tag by tag.
    """
    for tag, value in scores.items():
        # `self.log`, which Lightning binds to callbacks, would make them unpicklable.
        module.log(
            tag,
            torch.tensor(value),
            on_step=False,
            on_epoch=True,
            batch_size=1,
            add_dataloader_idx=False,
            sync_dist=True,
            reduce_fx="max",
        )


def log_directly(trainer: Trainer, scores: Mapping[str, float], step: int) -> None:
    """Log scores where ``module.log`` is not allowed: before the training starts."""
    for logger in trainer.loggers:
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


def check_strategy(trainer: Trainer) -> None:
    """Check that the Trainer's strategy leaves the module as it is, or in parts that can be put together.

    Raises:
        ConfigurationError: If it does not.
    """
    kind = type(trainer.strategy)
    refused = sorted({base.__name__ for base in kind.__mro__} & set(_REFUSED))
    if refused:
        raise ConfigurationError(
            f"strategy {kind.__name__}: a model cannot be explained under {refused[0]}, which keeps its weights in "
            "buffers of its own. Use ModelParallelStrategy (FSDP2), which saves as much memory, or 'ddp'"
        )


def world_size(trainer: Trainer) -> int:
    """Return the number of processes."""
    return int(trainer.world_size)


def has_own_data(trainer: Trainer) -> bool:
    """Return whether every process trains on data of its own, and none has to run the same samples as another."""
    given: Mapping[str, Any] = getattr(trainer.strategy, "distributed_sampler_kwargs", {})
    return given.get("num_replicas") == world_size(trainer)


def has_sharded_weights(trainer: Trainer) -> bool:
    """Return whether every forward is a collective, as each process has but a part of the weights."""
    return any(base.__name__ == "ModelParallelStrategy" for base in type(trainer.strategy).__mro__)


def do_all(trainer: Trainer, decision: bool, *, patience: timedelta | None = None) -> bool:
    """Return whether ``decision`` is true on all ranks; all must call it.

    Raises:
        RuntimeError: If the others have not come for as long as ``patience``, or as the process group waits.
    """
    if not torch.distributed.is_initialized():
        return bool(trainer.strategy.reduce_boolean_decision(decision))
    # The same, which can be told how long to wait.
    vote = torch.tensor(int(decision), device=trainer.strategy.root_device)
    work = torch.distributed.all_reduce(vote, torch.distributed.ReduceOp.MIN, async_op=True)
    assert work is not None, "asynchronous, and in a group that this rank is a member of"
    work.wait(*([] if patience is None else [patience]))
    return bool(vote)


def from_rank_zero(trainer: Trainer, value: Any) -> Any:
    """Return what ``value`` is on rank zero; all ranks must call it."""
    return trainer.strategy.broadcast(value)


def from_all_ranks(trainer: Trainer, value: Any) -> list[Any]:
    """Return what ``value`` is on each rank; all must call it."""
    found: list[Any] = [None] * world_size(trainer)
    torch.distributed.all_gather_object(found, value)
    return found


def gathered(trainer: Trainer, tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return what ``tensor`` is on each rank, on the CPU; all must call it, with tensors of the same shape."""
    with torch.inference_mode(False), torch.no_grad():
        # NCCL has no tensors on the CPU. And what was made under inference mode is copied, to be free of it.
        here = tensor.detach().clone(memory_format=torch.contiguous_format).to(trainer.strategy.root_device)
        found = [torch.empty_like(here) for _ in range(world_size(trainer))]
        torch.distributed.all_gather(found, here)
        return [part.cpu() for part in found]
