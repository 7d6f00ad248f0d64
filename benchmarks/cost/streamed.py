"""An observation of thousands of images, a few of which are shown: time and memory against ten times fewer."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from benchmarks.cost.measure import Row, peak_tensor_bytes, timed
from benchmarks.cost.workload import Workload
from saliency_callbacks import Confirmation, CueAlarm, Probe, SaliencyMonitor
from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.probe import PatchCue

__all__ = ["measure_streamed"]

_MEBIBYTE = 2**20
_SIDE, _CLASSES = 64, 10
# In the order of the observations that are measured.
_BOUNDS = {"resident": ("resident", "MiB", 1.1), "seconds": ("time", "s", 10.5), "tensors": ("tensors", "MiB", 1.1)}


def measure_streamed(workload: Workload) -> list[Row]:
    """Compare many with few images of 64×64 and a small network, each observed in a process of its own.

    By a monitor, and by a cue alarm. By the time of an observation, by the largest resident set of the whole process,
    and by the most bytes that tensors hold at one time, which is exact. The images are made as they are read, so that
    the dataset takes no memory; the bound of the time is for ten times as many.
    """
    few, many = workload.streamed
    rows = []
    for who in _CALLBACKS:
        rounds = [(_measured(who, many, workload), _measured(who, few, workload)) for _ in range(workload.path_rounds)]
        rows += [_row(who, what, rounds, few=few, many=many) for what in _BOUNDS]
    return rows


def _row(who: str, what: str, rounds: list[tuple[dict[str, float], dict[str, float]]], *, few: int, many: int) -> Row:
    name, unit, limit = _BOUNDS[what]
    name = name if who == "monitor" else f"{who}/{name}"
    ours, other = [one[what] for one, _ in rounds], [one[what] for _, one in rounds]
    return Row(
        name=f"streamed/{name}",
        ours=f"{many} images",
        other=f"{few} images",
        ours_value=statistics.median(ours),
        other_value=statistics.median(other),
        ratio=statistics.median(mine / theirs for mine, theirs in zip(ours, other, strict=True)),
        limit=limit,
        unit="s" if unit == "s" else "MiB",
        samples={f"{many} images": ours, f"{few} images": other},
    )


def _measured(who: str, n_images: int, workload: Workload) -> dict[str, float]:
    given = map(str, (who, n_images, torch.get_num_threads(), workload.clock))
    command = [sys.executable, "-m", "benchmarks.cost.streamed", *given]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


class _Images(Dataset[tuple[Tensor, int]]):
    def __init__(self, count: int) -> None:
        self.count = count
        self.targets = torch.arange(count) % _CLASSES

    def __len__(self) -> int:
        return self.count

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(index)
        return torch.rand(3, _SIDE, _SIDE, generator=generator), index % _CLASSES


class _Classifier(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, _CLASSES),
        )

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    @override
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class _Measured(ObservingCallback[Any]):
    """Measures the memory of the first observation, which warms up, the time of the second, tensors of the third."""

    found: dict[str, float]
    clock: Any

    @override
    def _observe(self, *arguments: Any) -> Any:
        made: list[Any] = []

        def observe() -> None:
            made.append(super(_Measured, self)._observe(*arguments))

        what = tuple(_BOUNDS)[self.state.n_observations]
        if what == "seconds":
            self.found[what] = timed(observe, self.clock)
        elif what == "tensors":
            self.found[what] = peak_tensor_bytes(observe) / _MEBIBYTE
        else:
            # Importing took more for a moment than the work does; 5 forgets that peak.
            Path("/proc/self/clear_refs").write_text("5")
            observe()
            self.found[what] = _largest_resident()
        return made[0]


class _Monitor(_Measured, SaliencyMonitor):
    """A monitor of two methods."""


class _Alarm(_Measured, CueAlarm):
    """An alarm for a patch, without the accuracy by class, which reads the whole validation set."""


def _monitor(n_images: int) -> _Monitor:
    return _Monitor(["gradient", "grad_cam"], probe=Probe(size=n_images), on_error="raise")


def _alarm(n_images: int) -> _Alarm:
    confirmation = Confirmation(groups_at_fit_end=False)
    return _Alarm(PatchCue((-8, -8, 8, 8)), 0, Probe(size=n_images), confirmation=confirmation, on_error="raise")


_CALLBACKS: Mapping[str, Callable[[int], _Measured]] = {"monitor": _monitor, "cue": _alarm}


def _largest_resident() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def _main() -> None:
    parser = argparse.ArgumentParser(description="Print what observations of so many images take, as JSON (Linux).")
    parser.add_argument("who", choices=[*_CALLBACKS])
    parser.add_argument("n_images", type=int)
    parser.add_argument("threads", type=int)
    parser.add_argument("clock", choices=["wall", "cpu"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    callback = _CALLBACKS[given.who](given.n_images)
    callback.found, callback.clock = {}, given.clock
    with tempfile.TemporaryDirectory() as directory:
        L.Trainer(
            default_root_dir=directory,
            max_epochs=2,
            limit_val_batches=1,
            accelerator="cpu",
            callbacks=[callback],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(_Classifier(), DataLoader(_Images(8), 8), DataLoader(_Images(given.n_images), 8))
    print(json.dumps(callback.found))


if __name__ == "__main__":
    _main()
