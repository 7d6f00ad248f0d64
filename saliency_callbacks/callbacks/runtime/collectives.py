"""How the processes of a Trainer speak with each other, and which strategies a model can be explained under."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch

from saliency_callbacks.callbacks.runtime.packages import Trainer
from saliency_callbacks.errors import ConfigurationError

__all__ = [
    "check_strategy",
    "do_all",
    "from_all_ranks",
    "from_rank_zero",
    "gathered",
    "has_own_data",
    "has_sharded_weights",
    "world_size",
]

# Strategies that hide the parameters of a module from it, so that neither layers nor weights are what they seem.
_REFUSED = ("DeepSpeedStrategy", "FSDPStrategy", "XLAFSDPStrategy")


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
