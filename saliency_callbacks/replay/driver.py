"""A Trainer that goes from checkpoint to checkpoint where it would train."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.runtime.lightning import LightningHost
from saliency_callbacks.callbacks.runtime.packages import LightningDataModule, LightningModule, Trainer
from saliency_callbacks.callbacks.runtime.schedule import is_due
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.replay.checkpoints import Checkpoint
from saliency_callbacks.replay.fit_loop import instead_of_training, load_weights, prepare_dataloaders, set_progress

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True)
class Replayed:
    """What a replay made.

    Args:
        observations: Where a callback writes → how many observations it made.

    Example:
        >>> replayed = Replayed({"saliency": 8, "randomization": 2})
        >>> for name, count in replayed.observations.items():
        ...     print(f"{name}: {count} observations")
        saliency: 8 observations
        randomization: 2 observations
    """

    observations: dict[str, int] = field(default_factory=dict)


def replay(
    trainer: Trainer,
    module: LightningModule,
    checkpoints: Sequence[Checkpoint],
    *,
    datamodule: LightningDataModule | None = None,
    is_untrained: bool = False,
) -> Replayed:
    """Let the Trainer's callbacks of this package observe checkpoints as if the training was going on.

    It is a ``fit`` in which nothing is trained: data, devices, precision, hooks of the module and loggers are the
    Trainer's. Each callback keeps its own schedule, and compares with what it has observed before; the module ends with
    the weights of the last checkpoint.

    Args:
        trainer: A Trainer with callbacks of this package; its loggers get what they write.
        module: The module that was trained.
        checkpoints: From :func:`find_checkpoints`.
        datamodule: The data that it was trained with, where the module has no dataloaders of its own.
        is_untrained: Whether ``module`` has the weights that the training began with, so that they are observed first.

    Raises:
        ConfigurationError: If there is no such callback, a checkpoint is not one of ``module``, or a callback cannot
            work with module and data.
    """
    replayed = Replayed()

    def observe_all() -> None:
        callbacks = [one for one in trainer.callbacks if isinstance(one, ObservingCallback)]  # type: ignore[attr-defined]
        if not callbacks:
            raise ConfigurationError(
                "there is nothing to replay: the Trainer has no callback of this package; expected at least one, such "
                "as SaliencyMonitor, RandomizationTest or CueAlarm, in `trainer.callbacks`"
            )
        counts = dict.fromkeys((one.identity for one in callbacks), 0)
        prepare_dataloaders(trainer)
        if is_untrained and (not checkpoints or checkpoints[0].global_step > 0):
            set_progress(trainer, epoch=0, step=0, global_step=0)
            _observe(trainer, module, callbacks, counts)
        for checkpoint in _with_progress(checkpoints):
            _restore(trainer, module, checkpoint)
            set_progress(trainer, epoch=checkpoint.epoch, step=checkpoint.step, global_step=checkpoint.global_step)
            _observe(trainer, module, callbacks, counts)
        if checkpoints and checkpoints[-1].global_step > 0:
            last = checkpoints[-1]
            set_progress(trainer, epoch=last.epoch + 1, step=last.step + 1, global_step=last.global_step)
            for callback in callbacks:
                callback.finish(LightningHost(trainer, module, callback.compute.shard_probe))
        replayed.observations.update(counts)

    with instead_of_training(trainer, observe_all):
        trainer.fit(module, datamodule=datamodule)
    return replayed


def _observe(
    trainer: Trainer,
    module: LightningModule,
    callbacks: Sequence[ObservingCallback[Any]],
    counts: dict[str, int],
) -> None:
    for callback in callbacks:
        host = LightningHost(trainer, module, callback.compute.shard_probe)
        if _observe_if_due(callback, host):
            counts[callback.identity] += 1
        callback.turn_ends(host)


def _observe_if_due(callback: ObservingCallback[Any], host: LightningHost) -> bool:
    """Observe weights as the training would at the host's epoch and step; everything is logged, but not monitored."""
    snapshot, scores = None, callback.state.scores
    is_untrained = host.global_step == 0
    if is_untrained or is_due(host.epoch, callback.state.last_observed, callback.every_n_epochs):
        # No training is lost by an error.
        snapshot = callback.observe(host, "initial" if is_untrained else "fit", host.step, is_early=True)
        scores = scores if snapshot is None else dict(snapshot.scores)
    if scores:
        callback.log_directly(host, scores)
    return snapshot is not None


def _with_progress(checkpoints: Sequence[Checkpoint]) -> Iterable[Checkpoint]:
    # Without a terminal there is nobody to watch it.
    bar: Iterable[Checkpoint] = tqdm(checkpoints, desc="replay", unit="checkpoint", disable=None)
    return bar


def _restore(trainer: Trainer, module: LightningModule, checkpoint: Checkpoint) -> None:
    try:
        load_weights(trainer, module, checkpoint.read())
    except (RuntimeError, KeyError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ConfigurationError(
            f"checkpoint {str(checkpoint.path)!r} does not belong to this {type(module).__name__} "
            f"({' '.join(lines[1:3] or lines)[:300]}); expected the model and arguments of the training"
        ) from error
