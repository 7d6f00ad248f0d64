"""A training by Ray Train with two workers: ``python -m tests.distributed.ray_training DIRECTORY``."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

_WORKERS = 2


def train(config: dict[str, Any]) -> None:
    import lightning as L
    import torch
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment, prepare_trainer
    from torch.utils.data import DataLoader

    from saliency_callbacks.sinks import MemorySink
    from tests.distributed.scenarios import Module, observers
    from tests.trainer.runs import digits

    warnings.simplefilter("ignore")
    sink = MemorySink()
    monitor, test, alarm = observers(sink, 5, shard_probe=True)
    trainer = L.Trainer(
        max_epochs=1,
        limit_train_batches=1,
        accelerator="cpu",
        devices="auto",
        strategy=RayDDPStrategy(),
        plugins=[RayLightningEnvironment()],
        callbacks=[monitor, test, alarm],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=1,
        default_root_dir=config["root"],
    )
    module = Module(learning_rate=0.0, noisy=False)
    prepare_trainer(trainer).fit(module, DataLoader(digits(0, 24), 6), DataLoader(digits(100, 137), 10))
    found = {
        "metrics": {name: float(value) for name, value in trainer.callback_metrics.items() if "/" in name},
        "stages": [snapshot.stage for snapshot in sink.snapshots],
        "groups": (alarm.groups.correct, alarm.groups.count),
    }
    torch.save(found, Path(config["root"], f"ray.{trainer.global_rank}.pt"))


def main(root: str) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    # More than are there: the workers are small, and Ray's own actors want a share.
    variables = {"PYTHONPATH": os.environ["PYTHONPATH"], "OMP_NUM_THREADS": "1"}
    ray.init(num_cpus=2 * _WORKERS, include_dashboard=False, runtime_env={"env_vars": variables})
    TorchTrainer(
        train,
        train_loop_config={"root": root},
        scaling_config=ScalingConfig(num_workers=_WORKERS, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(storage_path=root, name="run"),
    ).fit()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
