"""Measure everything, or one part of it, and print one table.

Usage::

    python -m benchmarks.run [--quick] [--only NAME] [--json PATH] [--rounds N] [--threads N] [--clock wall|cpu]

On a busy machine ``--clock cpu --threads 1`` gives steadier ratios than the wall clock.
A missed target is shown, and is no error: machines differ, and a busy one is not a defect.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.cost.adaptive import measure_adaptive
from benchmarks.cost.attention import measure_attention
from benchmarks.cost.cue import measure_cue
from benchmarks.cost.distributed import measure_distributed
from benchmarks.cost.external import measure_external
from benchmarks.cost.faithfulness import measure_faithfulness
from benchmarks.cost.fast import measure_fast
from benchmarks.cost.large_pictures import measure_large_pictures
from benchmarks.cost.measure import Row
from benchmarks.cost.memory import measure_memory
from benchmarks.cost.multi_pass import measure_integrated_gradients, measure_smooth_grad
from benchmarks.cost.observation import measure_observation
from benchmarks.cost.randomization import measure_cascade, measure_kept_copies, measure_randomization
from benchmarks.cost.single_pass import measure_grad_cam, measure_seven
from benchmarks.cost.streamed import measure_streamed
from benchmarks.cost.tab import measure_tab
from benchmarks.cost.together import measure_epoch, measure_together
from benchmarks.cost.tokens import measure_tokens, measure_tokens_ig
from benchmarks.cost.workload import FULL, QUICK, Workload
from benchmarks.discovery.cost import measure_discovery
from saliency_callbacks.errors import DegenerateMapWarning

__all__ = ["main", "table"]

_TOPICS: Mapping[str, Callable[[Workload], list[Row]]] = {
    "seven": measure_seven,
    "grad_cam": measure_grad_cam,
    "attention": measure_attention,
    "observation": measure_observation,
    "large_pictures": measure_large_pictures,
    "memory": measure_memory,
    "integrated_gradients": measure_integrated_gradients,
    "smooth_grad": measure_smooth_grad,
    "external": measure_external,
    "adaptive": measure_adaptive,
    "fast": measure_fast,
    "randomization": measure_randomization,
    "kept_copies": measure_kept_copies,
    "cascade": measure_cascade,
    "faithfulness": measure_faithfulness,
    "together": measure_together,
    "epoch": measure_epoch,
    "cue": measure_cue,
    "distributed": measure_distributed,
    "streamed": measure_streamed,
    "tab": measure_tab,
    "tokens": measure_tokens,
    "tokens_ig": measure_tokens_ig,
    "discovery": measure_discovery,
}
_PACKAGES = ("saliency-callbacks", "torch", "torchvision", "lightning", "captum", "grad-cam", "quantus", "tensorboard")
_RESULTS = Path(__file__).with_name("results.json")
_HEADINGS = ("row", "ours", "compared with", "ours", "other", "ratio", "target", "met")
_MET = {True: "yes", False: "NO", None: ""}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen topics, print the table and write the JSON file."""
    given = _parser().parse_args(arguments)
    torch.set_num_threads(given.threads)
    workload = replace(QUICK if given.quick else FULL, clock=given.clock)
    if given.rounds:
        workload = replace(workload, rounds=given.rounds, path_rounds=given.rounds)
    facts = _facts()
    print(*(f"{name}: {value}" for name, value in facts.items()), sep="\n")
    print(
        f"workload: ResNet-18, {workload.images} images {workload.size}×{workload.size}; for texts a BERT of 4 layers"
    )
    print(f"clock: {workload.clock}; medians of interleaved rounds, ratios taken within a round")
    # Of random weights, maps may be zero; Captum announces that it asks for gradients.
    warnings.filterwarnings("ignore", category=DegenerateMapWarning)
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require gradients")
    rows: list[Row] = []
    for topic in [given.only] if given.only else _TOPICS:
        print(f"measuring {topic} ...", flush=True)
        rows += _TOPICS[topic](workload)
    print(f"\n{table(rows)}\n")
    given.json.parent.mkdir(parents=True, exist_ok=True)
    entries = [{**asdict(row), "is_met": row.is_met} for row in rows]
    content = {"facts": facts, "workload": asdict(workload), "rows": entries}
    given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"every single measurement: {given.json}")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text."""
    lines = [_HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    aligned = ("  ".join(map(partial(_align, line, widths), range(len(widths)))) for line in lines)
    return "\n".join(line.rstrip() for line in aligned)


def _cells(row: Row) -> tuple[str, ...]:
    sign = "≤" if row.kind == "cost" else "≥"
    target = "" if row.limit is None else f"{sign} {row.limit:.2f}×"
    values = tuple(f"{value:.3f} s" if row.unit == "s" else f"{value:.1f} MiB" for value in _values(row))
    return (row.name, row.ours, row.other, *values, f"{row.ratio:.3f}×", target, _MET[row.is_met])


def _values(row: Row) -> tuple[float, float]:
    return row.ours_value, row.other_value


def _align(line: Sequence[str], widths: Sequence[int], column: int) -> str:
    is_number = 3 <= column <= 6
    return line[column].rjust(widths[column]) if is_number else line[column].ljust(widths[column])


def _facts() -> dict[str, str | int]:
    versions = {package: _version(package) for package in _PACKAGES}
    return {"threads": torch.get_num_threads(), "python": platform.python_version(), **versions}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cores() -> int:
    # What this process may use, which in a container is less than what the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few small images and two rounds, to see that it works")
    parser.add_argument("--only", choices=list(_TOPICS), metavar="NAME", help=f"one of {', '.join(_TOPICS)}")
    parser.add_argument("--json", type=Path, default=_RESULTS, metavar="PATH", help="where to write the measurements")
    parser.add_argument("--rounds", type=int, metavar="N", help="interleaved rounds of every comparison")
    parser.add_argument(
        "--threads", type=int, default=_cores(), metavar="N", help="threads of torch; all cores by default"
    )
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="wall (default) or processor time")
    return parser


if __name__ == "__main__":
    main()
