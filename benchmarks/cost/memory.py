"""Peak memory of a method with many passes, set by the chunk and not by the steps, and of a randomization test."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.cost.measure import Row, peak_tensor_bytes
from benchmarks.cost.workload import Workload, photographs, random_resnet18
from saliency_callbacks import explain, methods, randomization_test

__all__ = ["measure_memory"]

_MEBIBYTE = 2**20
_IMAGES = 4
_SMALL_CHUNK, _LARGE_CHUNK = 4, 16


class _Case(NamedTuple):
    n_steps: int
    chunk: int
    size: int

    def __str__(self) -> str:
        return f"{self.n_steps} steps, chunks of {self.chunk}"


def measure_memory(workload: Workload) -> list[Row]:
    """Compare few with many steps, and small with large chunks, of integrated gradients.

    Once by the bytes that tensors hold at one time, which is exact, and once by how much the resident set of a process
    of its own grows at most, which is what the machine has to have.
    """
    few, many = workload.memory_steps
    base = _Case(few, _LARGE_CHUNK, workload.memory_size)
    more_steps, smaller_chunks = base._replace(n_steps=many), base._replace(chunk=_SMALL_CHUNK)
    rows = [
        _row("memory/steps/tensors", _tensor_peak, more_steps, base, limit=1.01),
        _row("memory/chunk/tensors", _tensor_peak, smaller_chunks, base, limit=None),
    ]
    if Path("/proc/self/clear_refs").exists():
        # An allocator keeps pieces of what is freed, more by chance than by need: hence the wider limit.
        rows += [
            _row("memory/steps/resident", _resident_peak, more_steps, base, limit=1.1),
            _row("memory/chunk/resident", _resident_peak, smaller_chunks, base, limit=None),
        ]
    return [*rows, _randomization_row(workload, "reinitialize"), _randomization_row(workload, "permute")]


def _randomization_row(workload: Workload, randomize: str) -> Row:
    """What a randomization test holds at one time beyond the model and one explanation, against the model's weights."""
    images, target = photographs(_IMAGES, workload.memory_size)
    model = random_resnet18()
    given: dict[str, Any] = {"methods": ("gradient", "grad_cam"), "target": target, "target_layers": "layer4"}
    test = partial(randomization_test, model, images, **given, n_draws=2, randomize=randomize, similarities="spearman")
    extra = peak_tensor_bytes(test) - peak_tensor_bytes(partial(explain, model, images, **given))
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return _of_values(
        f"memory/randomization/{randomize}",
        ("randomization test, beyond one explanation", extra / _MEBIBYTE),
        ("weights of the model", weights / _MEBIBYTE),
        # One copy; the rest is for the maps that are kept to be compared.
        limit=1.01,
    )


def _of_values(name: str, ours: tuple[str, float], other: tuple[str, float], *, limit: float | None) -> Row:
    return Row(
        name=name,
        ours=ours[0],
        other=other[0],
        ours_value=ours[1],
        other_value=other[1],
        ratio=ours[1] / other[1],
        limit=limit,
        unit="MiB",
        samples={ours[0]: [ours[1]], other[0]: [other[1]]},
    )


def _row(name: str, peak: Callable[[_Case], float], case: _Case, base: _Case, *, limit: float | None) -> Row:
    return _of_values(name, (str(case), peak(case)), (str(base), peak(base)), limit=limit)


def _tensor_peak(case: _Case) -> float:
    return peak_tensor_bytes(_work(case)) / _MEBIBYTE


def _resident_peak(case: _Case) -> float:
    command = [sys.executable, "-m", "benchmarks.cost.memory", *map(str, (*case, torch.get_num_threads()))]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _work(case: _Case) -> Callable[[], object]:
    images, target = photographs(_IMAGES, case.size)
    method = methods.IntegratedGradients(n_steps=case.n_steps)
    model = random_resnet18()
    return partial(explain, model, images, methods=method, target=target, internal_batch_size=case.chunk)


def _resident() -> tuple[float, float]:
    """Return the resident set now and at most so far, in MiB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now, peak = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def _main() -> None:
    parser = argparse.ArgumentParser(description="Print the growth of the resident set by one run, in MiB (Linux).")
    for name in ("n_steps", "chunk", "size", "threads"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    work = _work(_Case(given.n_steps, given.chunk, given.size))
    # Importing took more for a moment than the work does; 5 forgets that peak.
    Path("/proc/self/clear_refs").write_text("5")
    before, _ = _resident()
    work()
    print(_resident()[1] - before)


if __name__ == "__main__":
    _main()
