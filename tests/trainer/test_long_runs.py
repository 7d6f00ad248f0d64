"""However often a run is observed: no more hooks, threads or files, and memory within a bound for each observation."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from saliency_callbacks import SaliencyMonitor, Storage
from saliency_callbacks.sinks import DiskSink, read_index
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

_OBSERVATIONS = 80
_MOST_BYTES_AN_OBSERVATION = 2048


class _Watch(L.Callback):
    """Looks after a warm-up, and at the end."""

    def __init__(self, monitor: SaliencyMonitor) -> None:
        self.monitor, self.count, self.found = monitor, 0, list[dict[str, int]]()

    def on_validation_end(self, run: L.Trainer, module: L.LightningModule) -> None:
        self.count += 1
        if self.count not in (_OBSERVATIONS // 4, _OBSERVATIONS // 2, _OBSERVATIONS):
            return
        self.monitor.drain()
        gc.collect()
        if not tracemalloc.is_tracing():
            tracemalloc.start()
        self.found.append(
            {
                "hooks": sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()),
                "threads": threading.active_count(),
                "files": len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0,
                "bytes": tracemalloc.get_traced_memory()[0] + _bytes_of_tensors(),
                "on disk": len(list(Path(run.default_root_dir).rglob("*.*"))),
            }
        )


def _bytes_of_tensors() -> int:
    """Return what is traced by nobody: the memory behind tensors, each storage once."""
    tensors = [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]
    # Other tests of the same process may hold sparse ones, which have no storage of their own.
    tensors = [tensor for tensor in tensors if tensor.layout is torch.strided]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


@pytest.fixture
def _stop_tracing() -> Any:
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("_stop_tracing")
def test_nothing_grows_with_the_observations(tmp_path: Path) -> None:
    monitor = SaliencyMonitor(
        "gradient", probe=2, storage=Storage(save_maps=False), sinks=[DiskSink(tmp_path / "maps", keep_maps=5)]
    )
    watch = _Watch(monitor)
    run = trainer(
        tmp_path,
        monitor,
        watch,
        max_epochs=-1,
        max_steps=_OBSERVATIONS,
        val_check_interval=1,
        limit_val_batches=1,
        num_sanity_val_steps=0,
    )
    run.fit(Classifier(), train_loader(), val_loader())
    # What is replaced at each observation is traced from the second look on.
    _, before, after = watch.found
    growth = after.pop("bytes") - before.pop("bytes")
    assert growth < _MOST_BYTES_AN_OBSERVATION * _OBSERVATIONS // 2
    assert after == before
    observations = read_index(tmp_path / "maps")["observations"]
    during = [entry for entry in observations if entry["stage"] == "fit"]
    assert len(during) == _OBSERVATIONS
    assert [entry["step"] for entry in during if entry["file"]] == list(range(_OBSERVATIONS - 5, _OBSERVATIONS))
