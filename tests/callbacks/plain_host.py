"""A host that is no Trainer: a plain module, and lists of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from saliency_callbacks.callbacks.runtime.host import Source, Weights
from saliency_callbacks.callbacks.runtime.ranks import Ranks


@dataclass
class PlainHost:
    """The least that implements ``Host``, on the CPU and in one process.

    Args:
        module: What is trained.
        val: The validation dataloaders; a list of batches is made into one.
        train: The training dataloaders, likewise.
        directory: Where the run is kept.

    Attributes:
        logged: Every call of ``log`` and ``log_directly``: the step, ``None`` for the former, and the scores.
        held: What was shown to monitors alone.
        hidden: Every call of ``log`` with what loggers do not draw.
        is_stopped: Whether the training was told to end.
    """

    module: nn.Module = field(default_factory=nn.Identity)
    val: Sequence[Any] = ()
    train: Sequence[Any] = ()
    directory: Path | None = None
    loggers: Sequence[Any] = ()
    is_dry_run: bool = False
    shows_progress: bool = False
    ranks: Ranks = field(default_factory=Ranks)
    callbacks: Sequence[Any] = ()
    epoch: int = 0
    global_step: int = 0
    validation_is_off: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "32-true"
    has_forward: bool = True
    logged: list[tuple[int | None, dict[str, float]]] = field(default_factory=list)
    held: dict[str, float] = field(default_factory=dict)
    hidden: list[tuple[int | None, dict[str, float]]] = field(default_factory=list)
    is_stopped: bool = False

    @property
    def run(self) -> object:
        return self.callbacks

    def check(self) -> None:
        pass

    def forward_context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def without_logging(self) -> AbstractContextManager[None]:
        return nullcontext()

    def weights(self, observer: object, *, at_end: bool) -> Weights | None:
        return None

    @property
    def validates(self) -> bool:
        return bool(self.val)

    def dataloader(self, source: Source, index: int) -> Any | None:
        loaders = self.val if source == "val" else self.train
        if not loaders:
            return None
        loader = loaders[index]
        return DataLoader(loader, batch_size=None) if isinstance(loader, list) else loader

    @property
    def data_owners(self) -> list[Any]:
        return [self.module]

    def received(self, batch: Any, dataloader_idx: int) -> Any:
        return batch

    def converted(self, batch: Any) -> Any:
        return batch

    def to_device(self, batch: Any) -> Any:
        return batch

    @property
    def step(self) -> int:
        return self.global_step

    @property
    def epoch_step(self) -> int:
        return max(0, self.global_step - 1)

    def run_directory(self) -> Path:
        return self.directory

    def log(self, scores: Mapping[str, float], *, is_drawn: bool = True) -> None:
        if scores:
            (self.logged if is_drawn else self.hidden).append((None, dict(scores)))

    def hold(self, scores: Mapping[str, float]) -> None:
        self.held |= scores

    def log_directly(self, scores: Mapping[str, float], step: int) -> None:
        self.logged.append((step, dict(scores)))

    def stop(self) -> None:
        self.is_stopped = True
