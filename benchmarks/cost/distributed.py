"""A probe that is shared by two processes, and the same probe explained by one."""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import distributed

from benchmarks.cost.measure import Row, cost, interleave
from benchmarks.cost.workload import Workload, photographs, random_resnet18
from saliency_callbacks.callbacks.runtime.collectives import TrainerCollectives
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.methods.resolution import resolve_methods

__all__ = ["measure_distributed"]

_RANKS = 2
_METHODS = ("gradient", "input_x_gradient", "grad_cam", "layer_cam")
_SHARED, _ALONE = "two processes, each a half, gathered", "one process"


def measure_distributed(workload: Workload) -> list[Row]:
    """Compare the time until all maps are on both ranks with that of one process alone; one thread each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = [str(port), str(workload.images), str(workload.size), str(workload.rounds)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cost.distributed", str(rank), *given], stdout=subprocess.PIPE, text=True
        )
        for rank in range(_RANKS)
    ]
    outputs = [process.communicate()[0] for process in processes]
    return [cost("distributed/shard_probe", json.loads(outputs[0]), ours=_SHARED, other=_ALONE, limit=0.65)]


def _main(rank: int, port: int, images: int, size: int, rounds: int) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=_RANKS)
    model = random_resnet18()
    inputs, targets = photographs(images, size)
    settings = Settings(methods=resolve_methods(_METHODS), target_layers="layer4")
    ranks = Ranks(TrainerCollectives(_trainer(rank)), shards_probe=True)
    sides: dict[str, Callable[[], Any]] = {
        _SHARED: partial(_together, partial(ranks.explain, model, inputs, settings, [targets])),
        # The other one waits, and takes no processor time.
        _ALONE: partial(_together, partial(run_engine, model, inputs, settings, [targets]) if rank == 0 else _nothing),
    }
    timings = interleave(sides, rounds)
    if rank == 0:
        print(json.dumps(timings))
    distributed.destroy_process_group()


def _together(work: Callable[[], Any]) -> None:
    distributed.barrier()
    work()
    distributed.barrier()


def _nothing() -> None:
    pass


def _trainer(rank: int) -> Any:
    """Return what is asked of a Trainer by its ranks."""
    strategy = SimpleNamespace(
        root_device=torch.device("cpu"), distributed_sampler_kwargs={"num_replicas": _RANKS, "rank": rank}
    )
    return SimpleNamespace(world_size=_RANKS, global_rank=rank, strategy=strategy)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for argument in ("rank", "port", "images", "size", "rounds"):
        parser.add_argument(argument, type=int)
    _main(**vars(parser.parse_args()))
