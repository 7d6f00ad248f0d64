"""Peak memory of a method with many passes: set by the chunk, not by the number of steps."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.measure import Row, peak_tensor_bytes
from benchmarks.workload import Workload, photographs, random_resnet18
from saliency_callbacks import explain, methods

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
    return rows


def _row(name: str, peak: Callable[[_Case], float], case: _Case, base: _Case, *, limit: float | None) -> Row:
    ours, other = peak(case), peak(base)
    return Row(
        name=name,
        ours=str(case),
        other=str(base),
        ours_value=ours,
        other_value=other,
        ratio=ours / other,
        limit=limit,
        unit="MiB",
        samples={str(case): [ours], str(base): [other]},
    )


def _tensor_peak(case: _Case) -> float:
    return peak_tensor_bytes(_work(case)) / _MEBIBYTE


def _resident_peak(case: _Case) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, (*case, torch.get_num_threads()))]
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
