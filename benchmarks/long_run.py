"""Observe thousands of times, and show that nothing grows: memory, hooks, threads, open files, disk, seconds.

Usage::

    python -m benchmarks.long_run [--observations 2000] [--keep-maps 50]

All three callbacks for pictures watch a small network on 8×8 digits that is validated after every step. The table has
the state after each eighth of the run; the first eighth warms up. What has grown beyond its bound is named, and the
exit code is then 1.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from saliency_callbacks import (
    AlarmRule,
    Cascade,
    Confirmation,
    CueAlarm,
    Draws,
    RandomizationTest,
    SaliencyMonitor,
    Storage,
)
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks.disk.retention import KeepMaps

__all__ = ["Usage", "growth", "long_run"]

# What the allocator takes and gives back, in MiB: the same run goes up and down by this much.
_ALLOCATOR = 64.0


@dataclass(frozen=True)
class Usage:
    """What a process holds.

    Args:
        observations: Validations so far.
        objects: Python objects that the garbage collector knows.
        resident: MiB that the process takes; 0 where the system does not tell.
        hooks: Hooks on the model's modules.
        threads: Threads.
        files: Open files; 0 where the system does not tell.
        maps: Files of maps and pictures on disk.
        disk: MiB on disk without them: the index.
        state: KiB that the callbacks add to a checkpoint.
        seconds: Of one validation with its observations, on average since the last row.
    """

    observations: int
    objects: int
    resident: float
    hooks: int
    threads: int
    files: int
    maps: int
    disk: float
    state: float
    seconds: float


class _Digits(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        middle = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()]
        self.network = nn.Sequential(*middle, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 10))

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    @override
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class _Watch(L.Callback):
    """Measures after every ``interval`` validations."""

    def __init__(self, interval: int, watched: Sequence[Any], directory: Path) -> None:
        self.interval, self.watched, self.directory = interval, watched, directory
        self.count, self.since, self.found = 0, time.perf_counter(), list[Usage]()

    @override
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        self.count += 1
        if self.count % self.interval == 0:
            for callback in self.watched:
                callback.drain()
            seconds = (time.perf_counter() - self.since) / self.interval
            self.found.append(_usage(self.count, pl_module, self.watched, self.directory, seconds))
            print(_line(self.found[-1]), flush=True)
            self.since = time.perf_counter()


def long_run(observations: int, directory: Path, *, keep_maps: KeepMaps = 50, rows: int = 8) -> list[Usage]:
    """Observe ``observations`` times, and return what the process held on the way."""
    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images[:64] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    loader = DataLoader(TensorDataset(pixels, torch.tensor(labels[:64])), batch_size=32)
    cue = PatchCue((0, 0, 2, 2), value=1.0, name="corner")
    settings: dict[str, Any] = {"probe": 6, "storage": Storage(keep_maps=keep_maps)}
    watched = [
        SaliencyMonitor(["gradient", "grad_cam"], **settings),
        RandomizationTest(
            "gradient",
            draws=Draws(n_draws=2, similarities="spearman"),
            cascade=Cascade(at_fit_end=False),
            **settings,
        ),
        CueAlarm(
            cue,
            3,
            rule=AlarmRule(n_bootstrap=100, threshold=100.0),
            confirmation=Confirmation(groups_at_fit_end=False),
            **settings,
        ),
    ]
    watch = _Watch(max(1, observations // rows), watched, directory)
    trainer = L.Trainer(
        max_steps=observations,
        max_epochs=-1,
        val_check_interval=1,
        limit_val_batches=1,
        num_sanity_val_steps=1,
        accelerator="cpu",
        devices=1,
        callbacks=[*watched, watch],
        logger=CSVLogger(directory, flush_logs_every_n_steps=50),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(_Digits(), loader, loader)
    return watch.found


def growth(found: Sequence[Usage]) -> list[str]:
    """Return what has grown after the first eighth and must not; what each observation leaves is bounded."""
    first, last = found[0], found[-1]
    count = last.observations - first.observations
    allowed = {
        **dict.fromkeys(("hooks", "threads", "files", "maps"), 0.0),
        "objects": 2.0 * count,
        "resident": _ALLOCATOR + 0.01 * count,
        "disk": 0.01 * count,
        "state": 0.5 * count,
    }
    grown = {name: getattr(last, name) - getattr(first, name) for name in allowed}
    return [f"{name}: {grown[name]:g} more, at most {most:g}" for name, most in allowed.items() if grown[name] > most]


def _usage(count: int, module: nn.Module, watched: Sequence[Any], directory: Path, seconds: float) -> Usage:
    gc.collect()
    files = [path for path in directory.rglob("*") if path.is_file()]
    maps = [path for path in files if {"maps", "pictures"} & set(path.parts)]
    return Usage(
        observations=count,
        objects=len(gc.get_objects()),
        resident=_resident() / 2**20,
        hooks=sum(
            len(vars(part)[kind]) for part in module.modules() for kind in ("_forward_hooks", "_forward_pre_hooks")
        ),
        threads=threading.active_count(),
        files=len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0,
        maps=len(maps),
        disk=sum(path.stat().st_size for path in set(files) - set(maps)) / 2**20,
        state=_checkpoint_size(watched) / 2**10,
        seconds=seconds,
    )


def _resident() -> int:
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def _checkpoint_size(watched: Sequence[Any]) -> int:
    with tempfile.TemporaryFile() as file:
        torch.save([callback.state_dict() for callback in watched], file)
        return file.tell()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_run", description=__doc__.partition("\n")[0])
    parser.add_argument("--observations", type=int, default=2000, metavar="N")
    parser.add_argument("--keep-maps", type=int, default=50, metavar="N")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    print(*(f"{field.name:>12}" for field in fields(Usage)))
    with tempfile.TemporaryDirectory() as directory:
        # As many as are kept must have been made before anything is compared.
        kept = min(given.keep_maps, max(1, given.observations // 8))
        grown = growth(long_run(given.observations, Path(directory), keep_maps=kept))
    raise SystemExit("\n".join(grown) or None)


def _line(usage: Usage) -> str:
    return " ".join(f"{value:12.3f}" if isinstance(value, float) else f"{value:12d}" for value in astuple(usage))


if __name__ == "__main__":
    main()
