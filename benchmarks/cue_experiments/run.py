"""The command line of the cue experiments."""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks import cue_experiments
from benchmarks.cue_experiments.report import report
from benchmarks.cue_experiments.settings import Experiment
from benchmarks.cue_experiments.training import Run, train

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every experiment, print the report and write it where that is asked for."""
    given = _parser().parse_args(arguments)
    with ProcessPoolExecutor(given.workers, get_context("spawn"), _silence) as pool:
        text = report(partial(_trained, pool, given.seeds, given.epochs), given.seeds, given.epochs)
    print(text)
    if given.write is not None:
        given.write.parent.mkdir(parents=True, exist_ok=True)
        given.write.write_text(text, encoding="utf-8")


def _silence() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def _trained(pool: ProcessPoolExecutor, seeds: int, epochs: int, experiment: Experiment) -> list[Run]:
    return list(pool.map(partial(train, experiment, epochs=epochs), range(seeds)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cue_experiments", description=(cue_experiments.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="runs of every setting")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="epochs of every run; at least 13")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="trainings at a time, one thread each")
    parser.add_argument("--write", type=Path, metavar="PATH", help="where to write the report, such as docs/….md")
    return parser
