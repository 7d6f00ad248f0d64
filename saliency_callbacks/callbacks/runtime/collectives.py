"""How the processes of a training speak with each other, and which strategies a model can be explained under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import torch

from saliency_callbacks.callbacks.runtime.packages import Trainer
from saliency_callbacks.errors import ConfigurationError

__all__ = ["Collectives", "TrainerCollectives", "check_strategy"]

# Strategies that hide the parameters of a module from it, so that neither layers nor weights are what they seem.
_REFUSED = ("DeepSpeedStrategy", "FSDPStrategy", "XLAFSDPStrategy")


class Collectives(Protocol):
    """The processes of a training. All of them must call a method."""

    @property
    def size(self) -> int:
        """Number of processes."""

    @property
    def number(self) -> int:
        """Which of them this one is."""

    @property
    def has_own_data(self) -> bool:
        """Whether every process trains on data of its own, and none has to run the same samples as another."""

    @property
    def has_sharded_weights(self) -> bool:
        """Whether every forward is a collective, as each process has only a part of the weights."""

    def do_all(self, decision: bool, *, patience: timedelta | None = None) -> bool:
        """Return whether ``decision`` is true on all ranks.

        Raises:
            RuntimeError: If the others have not come for as long as ``patience``, or as the process group waits.
        """

    def from_zero(self, value: Any) -> Any:
        """Return what ``value`` is on rank zero."""

    def from_all(self, value: Any) -> list[Any]:
        """Return what ``value`` is on each rank."""

    def gathered(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Return what ``tensor`` is on each rank, on the CPU; of the same shape on all of them."""


def check_strategy(trainer: Trainer) -> None:
    """Check that the Trainer's strategy leaves the module as it is, or in parts that can be put together.

    Raises:
        ConfigurationError: If it does not.
    """
    kind = type(trainer.strategy)
    refused = sorted({base.__name__ for base in kind.__mro__} & set(_REFUSED))
    if refused:
        raise ConfigurationError(
            f"strategy {kind.__name__}: a model cannot be explained under {refused[0]}, which keeps the weights in "
            "its own buffers. Use ModelParallelStrategy (FSDP2), which saves as much memory, or 'ddp'"
        )


@dataclass(frozen=True)
class TrainerCollectives:
    """The processes of a Lightning ``Trainer``; see :class:`Collectives`."""

    trainer: Trainer

    @property
    def size(self) -> int:
        """As of :class:`Collectives`."""
        return int(self.trainer.world_size)

    @property
    def number(self) -> int:
        """As of :class:`Collectives`."""
        return self.trainer.global_rank

    @property
    def has_own_data(self) -> bool:
        """As of :class:`Collectives`."""
        given: Mapping[str, Any] = getattr(self.trainer.strategy, "distributed_sampler_kwargs", {})
        return given.get("num_replicas") == self.size

    @property
    def has_sharded_weights(self) -> bool:
        """As of :class:`Collectives`."""
        return any(base.__name__ == "ModelParallelStrategy" for base in type(self.trainer.strategy).__mro__)

    def do_all(self, decision: bool, *, patience: timedelta | None = None) -> bool:
        """As of :class:`Collectives`."""
        if not torch.distributed.is_initialized():
            return bool(self.trainer.strategy.reduce_boolean_decision(decision))
        # The same, which can be told how long to wait.
        vote = torch.tensor(int(decision), device=self.trainer.strategy.root_device)
        work = torch.distributed.all_reduce(vote, torch.distributed.ReduceOp.MIN, async_op=True)
        assert work is not None, "asynchronous, and in a group that this rank is a member of"
        work.wait(*([] if patience is None else [patience]))
        return bool(vote)

    def from_zero(self, value: Any) -> Any:
        """As of :class:`Collectives`."""
        return self.trainer.strategy.broadcast(value)

    def from_all(self, value: Any) -> list[Any]:
        """As of :class:`Collectives`."""
        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, value)
        return found

    def gathered(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """As of :class:`Collectives`."""
        with torch.inference_mode(False), torch.no_grad():
            # NCCL has no tensors on the CPU. And what was made under inference mode is copied, to be free of it.
            here = tensor.detach().clone(memory_format=torch.contiguous_format).to(self.trainer.strategy.root_device)
            found = [torch.empty_like(here) for _ in range(self.size)]
            torch.distributed.all_gather(found, here)
            return [part.cpu() for part in found]
