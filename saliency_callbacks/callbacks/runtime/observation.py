"""What an observation is made of, and what it is made into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime.ranks import ALONE, Ranks
from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["Moment", "Observation", "Stage", "State", "Surroundings"]

Stage = Literal["initial", "fit", "validate", "final"]
State = TypeVar("State", bound=RunState)


@dataclass(frozen=True)
class Moment:
    """When an observation is made; see :class:`~saliency_callbacks.types.Snapshot`."""

    epoch: int
    step: int
    stage: Stage


@dataclass(frozen=True)
class Surroundings:
    """What the Trainer puts around a forward.

    Args:
        to_device: Brings the probe to the model's device.
        forward_context: Opened around every forward, e.g. autocast.
        trainer: The Trainer.
        module: Its LightningModule.
        ranks: All processes of the training.
    """

    to_device: Callable[[Any], Any]
    forward_context: Callable[[], AbstractContextManager[Any]]
    trainer: host.Trainer
    module: host.LightningModule
    ranks: Ranks = ALONE

    @staticmethod
    def of(trainer: host.Trainer, module: host.LightningModule, ranks: Ranks) -> Surroundings:
        """Return what the Trainer puts around a forward of its module."""
        return Surroundings(
            to_device=partial(host.move_to_device, module=module),
            forward_context=partial(host.forward_context, trainer),
            trainer=trainer,
            module=module,
            ranks=ranks,
        )


@dataclass(frozen=True)
class Observation(Generic[State]):
    """What is to be written, and the state once it has been."""

    snapshot: Snapshot
    next_state: State
    pictures: Mapping[str, Picture] = field(default_factory=dict)

    def under(self, circumstances: Mapping[str, Any]) -> Observation[State]:
        """Return the same, with further facts in the metadata of what is written."""
        return replace(self, snapshot=replace(self.snapshot, metadata={**self.snapshot.metadata, **circumstances}))
