"""The seam between the callbacks and whatever runs the training.

Everything else in the package knows a training by this protocol alone.
:class:`~saliency_callbacks.callbacks.runtime.lightning.LightningHost` implements it for a Lightning ``Trainer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn

from saliency_callbacks.callbacks.runtime.ranks import Ranks

__all__ = ["Host", "Source", "Weights"]

Source = Literal["val", "train"]
Weights = Literal["raw", "averaged"]


class Host(Protocol):
    """What an observation needs from whatever runs the training, at one moment of it.

    In a training on several processes, what says that all ranks must call it is a collective.
    """

    # The model

    @property
    def module(self) -> nn.Module:
        """What is trained."""

    @property
    def has_forward(self) -> bool:
        """Whether :attr:`module` itself can be called with a batch of inputs."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""

    @property
    def precision(self) -> str:
        """The precision that the model is trained in, in words for a record of the run."""

    def forward_context(self) -> AbstractContextManager[Any]:
        """Return the context of the training's own forwards, e.g. its autocast."""

    def without_logging(self) -> AbstractContextManager[None]:
        """Return a context in which a forward of the model logs nothing to the run."""

    def weights(self, observer: object, *, at_end: bool) -> Weights | None:
        """Return which weights the model holds where something averages them; ``None`` where nothing does.

        Args:
            observer: The callback that observes.
            at_end: Whether the training has just ended.
        """

    # The data

    @property
    def validates(self) -> bool:
        """Whether this training has validation epochs."""

    @property
    def validation_is_off(self) -> bool:
        """Whether validation was switched off on purpose, rather than there being nothing to validate with."""

    def dataloader(self, source: Source, index: int) -> Any | None:
        """Return one of the training's own dataloaders, never a new one; ``None`` where there is none (yet).

        Raises:
            IndexError: If there are dataloaders, but not that many.
        """

    @property
    def data_owners(self) -> Sequence[Any]:
        """What may hold the transforms of the data, beside the dataset: a datamodule, and the module."""

    def received(self, batch: Any, dataloader_idx: int) -> Any:
        """Return a batch of a dataloader as a validation step receives it: converted, transformed and moved."""

    def converted(self, batch: Any) -> Any:
        """Return what the model already takes, in the training's precision and on the model's device."""

    def to_device(self, batch: Any) -> Any:
        """Return ``batch`` on the model's device."""

    # The moment

    @property
    def epoch(self) -> int:
        """The epoch, counted from 0; once the training has ended, the number of its epochs."""

    @property
    def step(self) -> int:
        """The step under which the run's own metrics of this moment are logged."""

    @property
    def epoch_step(self) -> int:
        """The step under which the run's own metrics of a training epoch are logged as that ends."""

    @property
    def global_step(self) -> int:
        """Optimizer steps so far; 0 before the training."""

    # What is written, and what is said

    @property
    def loggers(self) -> Sequence[Any]:
        """The loggers of the run."""

    @property
    def is_dry_run(self) -> bool:
        """Whether the run only tries its code out, so that nothing is to be written."""

    @property
    def shows_progress(self) -> bool:
        """Whether the run shows how far it is, on this process."""

    def run_directory(self) -> Path:
        """Return the directory of this run on this machine's disk. All ranks must call it."""

    def log(self, scores: Mapping[str, float], *, is_drawn: bool = True) -> None:
        """Let other parts of the training monitor scores, and loggers draw them. All ranks must call it, with the same.

        Args:
            scores: Tag → finite number.
            is_drawn: Whether loggers draw them.
        """

    def hold(self, scores: Mapping[str, float]) -> None:
        """Let what monitors the training see these values, without logging them. All ranks must call it."""

    def log_directly(self, scores: Mapping[str, float], step: int) -> None:
        """Log scores where :meth:`log` is not allowed: before the training starts and when it ends."""

    # The run

    @property
    def run(self) -> object:
        """What identifies the run: the same object for as long as it lasts."""

    def check(self) -> None:
        """Check that the model of this run can be explained.

        Raises:
            ConfigurationError: If it cannot.
        """

    @property
    def ranks(self) -> Ranks:
        """All processes of the training."""

    @property
    def callbacks(self) -> Sequence[Any]:
        """Everything that is attached to the run, in the order in which it is called."""

    def stop(self) -> None:
        """Let the training end after this epoch."""
