"""A Lightning ``Trainer`` as a host; the one file that depends on how Lightning behaves.

See :class:`~saliency_callbacks.callbacks.runtime.host.Host`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from saliency_callbacks.callbacks.runtime.collectives import TrainerCollectives, check_strategy
from saliency_callbacks.callbacks.runtime.host import Source, Weights
from saliency_callbacks.callbacks.runtime.packages import (
    LightningModule,
    RunningStage,
    Trainer,
    TrainerFn,
    base_module,
    is_overridden,
    move_data_to_device,
)
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.config.wording import counted
from saliency_callbacks.sinks.loggers.directory import local_directory

__all__ = ["LightningHost", "is_fitting", "is_replayed", "validating", "without_logging"]


@dataclass(frozen=True)
class LightningHost:
    """A Lightning ``Trainer`` and its module, as callbacks see them; see ``Host`` for what is not described here.

    Args:
        trainer: The Trainer.
        module: Its LightningModule.
        shards_probe: Whether each of several processes explains a part of the probe.
    """

    trainer: Trainer
    module: LightningModule
    shards_probe: bool = False

    @property
    def has_forward(self) -> bool:
        """As of ``Host``."""
        base = base_module(self.module)
        return base is None or is_overridden("forward", self.module, parent=base)

    @property
    def device(self) -> torch.device:
        """As of ``Host``."""
        device: torch.device = self.module.device
        return device

    @property
    def precision(self) -> str:
        """As of ``Host``."""
        return str(self.trainer.precision)

    def forward_context(self) -> AbstractContextManager[Any]:
        """As of ``Host``."""
        context: AbstractContextManager[Any] = self.trainer.precision_plugin.forward_context()
        return context

    def without_logging(self) -> AbstractContextManager[None]:
        """As of ``Host``, for modules that log in their ``forward``."""
        return without_logging(self.module)

    def weights(self, observer: object, *, at_end: bool) -> Weights | None:
        """As of ``Host``; ``None`` outside of a training, too: the module then has whatever weights it was given."""
        if not is_fitting(self.trainer) or is_replayed(self.trainer):
            return None
        # The Trainer calls its callbacks in this order, and those that average do so in the hooks that we observe in.
        own = next((place for place, one in enumerate(self.callbacks) if one is observer), len(self.callbacks))
        found = [
            _weights(self.trainer, other, is_first=place < own, at_end=at_end)
            for place, other in enumerate(self.callbacks)
        ]
        return "averaged" if "averaged" in found else "raw" if "raw" in found else None

    @property
    def validates(self) -> bool:
        """As of ``Host``."""
        return bool(self.trainer.enable_validation)

    @property
    def validation_is_off(self) -> bool:
        """As of ``Host``."""
        return self.trainer.limit_val_batches == 0

    def dataloader(self, source: Source, index: int) -> Any | None:
        """As of ``Host``."""
        loaders = self.trainer.val_dataloaders if source == "val" else self.trainer.train_dataloader
        flat = [] if loaders is None else _flatten(loaders)
        if not flat:
            return None
        if index >= len(flat):
            raise IndexError(
                f"dataloader_idx={index}, but there {'is' if len(flat) == 1 else 'are'} "
                f"{counted(len(flat), f'{source} dataloader')}"
            )
        return flat[index]

    @property
    def data_owners(self) -> Sequence[Any]:
        """As of ``Host``."""
        return [owner for owner in (getattr(self.trainer, "datamodule", None), self.module) if owner is not None]

    def received(self, batch: Any, dataloader_idx: int) -> Any:
        """Return ``batch`` as a validation step receives it.

        Precision conversion, then the module's batch-transfer hooks, with the Trainer in its validating stage: hooks
        that augment on the device do so while training only.
        """
        with validating(self.trainer):
            batch = self.trainer.precision_plugin.convert_input(batch)
            batch = self.module._on_before_batch_transfer(batch, dataloader_idx=dataloader_idx)
            return self.trainer.strategy.batch_to_device(batch, dataloader_idx=dataloader_idx)

    def converted(self, batch: Any) -> Any:
        """As of ``Host``."""
        return self.to_device(self.trainer.precision_plugin.convert_input(batch))

    def to_device(self, batch: Any) -> Any:
        """As of ``Host``."""
        return move_data_to_device(batch, self.device)

    @property
    def epoch(self) -> int:
        """As of ``Host``."""
        return self.trainer.current_epoch

    @property
    def step(self) -> int:
        """As of ``Host``; with several optimizers or gradient accumulation this is not ``global_step``."""
        epoch_loop = getattr(self.trainer.fit_loop, "epoch_loop", None)
        return int(getattr(epoch_loop, "_batches_that_stepped", self.trainer.global_step))

    @property
    def epoch_step(self) -> int:
        """As of ``Host``: that of the last batch, as in ``on_train_epoch_end``."""
        return max(0, self.step - 1)

    @property
    def global_step(self) -> int:
        """As of ``Host``."""
        return self.trainer.global_step

    @property
    def loggers(self) -> Sequence[Any]:
        """As of ``Host``."""
        loggers: Sequence[Any] = self.trainer.loggers
        return loggers

    @property
    def is_dry_run(self) -> bool:
        """As of ``Host``: ``fast_dev_run``."""
        return bool(getattr(self.trainer, "fast_dev_run", False))

    @property
    def shows_progress(self) -> bool:
        """As of ``Host``: where the Trainer has a progress bar."""
        return self.trainer.progress_bar_callback is not None and self.trainer.is_global_zero

    def run_directory(self) -> Path:
        """As of ``Host``: that of the first logger that has one on this disk."""
        directory = str(local_directory(self.loggers, self.trainer.default_root_dir))
        return Path(self.trainer.strategy.broadcast(directory))

    def log(self, scores: Mapping[str, float], *, is_drawn: bool = True) -> None:
        """As of ``Host``.

        The highest of equal values is any; not to synchronize would have Lightning recommend it, tag by tag.
        """
        for tag, value in scores.items():
            # `self.log`, which Lightning binds to callbacks, would make them unpicklable.
            self.module.log(
                tag,
                # Where the model is: processes on GPUs cannot synchronize what is on the CPU.
                torch.tensor(value, device=self.device),
                on_step=False,
                on_epoch=True,
                batch_size=1,
                logger=None if is_drawn else False,
                add_dataloader_idx=False,
                sync_dist=True,
                reduce_fx="max",
            )

    def hold(self, scores: Mapping[str, float]) -> None:
        """As of ``Host``.

        Lightning logs what it lets others monitor, so that a value that is not to be logged goes to these directly.
        """
        for tag, value in scores.items():
            self.trainer.callback_metrics[tag] = torch.tensor(value, device=self.device)

    def log_directly(self, scores: Mapping[str, float], step: int) -> None:
        """As of ``Host``."""
        for logger in self.loggers if scores else ():
            logger.log_metrics({**scores, "epoch": self.epoch}, step=step)

    @property
    def run(self) -> object:
        """As of ``Host``: the Trainer."""
        return self.trainer

    def check(self) -> None:
        """As of ``Host``: not every strategy leaves the module as it is."""
        check_strategy(self.trainer)

    @cached_property
    def ranks(self) -> Ranks:
        """As of ``Host``."""
        return Ranks(TrainerCollectives(self.trainer), shards_probe=self.shards_probe)

    @property
    def callbacks(self) -> Sequence[Any]:
        """As of ``Host``."""
        return list(self.trainer.callbacks)  # type: ignore[attr-defined]

    def stop(self) -> None:
        """As of ``Host``."""
        self.trainer.should_stop = True


def is_fitting(trainer: Trainer) -> bool:
    """Return whether the Trainer is in ``fit``, training or validating."""
    return trainer.state.fn == TrainerFn.FITTING


def is_replayed(trainer: Trainer) -> bool:
    """Return whether something else is done where the Trainer would train; see :mod:`saliency_callbacks.replay`."""
    return "run" in vars(trainer.fit_loop)


@contextmanager
def without_logging(module: torch.nn.Module) -> Iterator[None]:
    """Make ``module.log`` and ``module.log_dict`` do nothing."""
    attributes = vars(module)
    hidden: dict[str, Any] = {name: attributes[name] for name in ("log", "log_dict") if name in attributes}
    try:
        attributes.update(log=_ignore, log_dict=_ignore)
        yield
    finally:
        del attributes["log"], attributes["log_dict"]
        attributes.update(hidden)


@contextmanager
def validating(trainer: Trainer) -> Iterator[None]:
    """Put the Trainer into its validating stage."""
    stage = trainer.state.stage
    trainer.state.stage = RunningStage.VALIDATING
    try:
        yield
    finally:
        trainer.state.stage = stage


def _flatten(loaders: Any) -> list[Any]:
    if isinstance(loaders, Mapping):
        return [loader for value in loaders.values() for loader in _flatten(value)]
    if isinstance(loaders, (list, tuple)):
        return [loader for value in loaders for loader in _flatten(value)]
    return [loaders]


def _ignore(*args: Any, **kwargs: Any) -> None:
    pass


def _weights(trainer: Trainer, averaging: Any, *, is_first: bool, at_end: bool) -> Weights | None:
    """Return which weights one callback leaves in the module; ``None`` where it averages none."""
    # By name: older releases lack one of the classes, and each of the two packages of Lightning has its own.
    names = {kind.__name__ for kind in type(averaging).__mro__}
    if "WeightAveraging" in names:
        # Swapped in when a validation starts, out in `on_validation_epoch_end`, and in for good in `on_train_end`.
        return "averaged" if (is_first if at_end else trainer.validating and not is_first) else "raw"
    if "StochasticWeightAveraging" in names:
        # With BatchNorm it adds an epoch in which nothing is learned, and averages are put in as that starts; without,
        # in `on_train_end` of the last epoch. By then the Trainer has counted on.
        epoch, last = trainer.current_epoch - at_end, averaging.swa_end
        is_over = at_end and is_first and last in (epoch, float("inf"))
        return "averaged" if epoch > last or is_over else "raw"
    return None
