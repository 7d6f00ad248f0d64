"""The callbacks under the Trainer of ``pytorch_lightning``, beside ``lightning`` and without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import CueAlarm, RandomizationTest, SaliencyMonitor, data_randomization_test
from saliency_callbacks.callbacks.runtime import packages
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.grouping import grouped

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def small_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def loader(start: int, stop: int, **settings: bool) -> DataLoader:
    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images[start:stop] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return DataLoader(TensorDataset(pixels, torch.tensor(labels[start:stop])), batch_size=12, **settings)


class Module(pl.LightningModule):
    def __init__(self, seed: int | None = 0) -> None:
        super().__init__()
        if seed is not None:
            torch.manual_seed(seed)
        self.net = small_net()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-2)


def fit(directory: Path, *callbacks: pl.Callback) -> tuple[Module, pl.Trainer]:
    module = Module()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, default_root_dir=directory, callbacks=list(callbacks), **quiet
    )
    torch.manual_seed(1)
    trainer.fit(module, loader(0, 48, shuffle=True), loader(100, 140))
    return module, trainer


def test_a_callback_is_one_of_both_packages() -> None:
    import lightning as L

    assert issubclass(SaliencyMonitor, L.Callback)
    assert issubclass(SaliencyMonitor, pl.Callback)


def test_all_callbacks_observe_and_leave_the_training_alone(tmp_path: Path) -> None:
    sinks = [MemorySink() for _ in range(3)]
    settings = {"probe": 12, "on_error": "raise"}
    callbacks = [
        SaliencyMonitor(**grouped(SaliencyMonitor, sinks=[sinks[0]], **settings)),
        RandomizationTest(
            "gradient", **grouped(RandomizationTest, n_draws=2, sinks=[sinks[1]], cascade_draws=2, **settings)
        ),
        CueAlarm(PatchCue((-2, -2, 2, 2)), **grouped(CueAlarm, suspect_class=0, sinks=[sinks[2]], **settings)),
    ]
    plain, before = fit(tmp_path / "plain")
    watched, after = fit(tmp_path / "watched", *callbacks)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
    assert torch.equal(before.callback_metrics["loss"], after.callback_metrics["loss"])
    assert "saliency/gradient/drift_previous" in after.callback_metrics
    assert all(sink.snapshots for sink in sinks)
    assert (tmp_path / "watched" / "saliency" / "index.json").exists()


def test_a_twin_is_trained_by_the_trainer_of_its_module() -> None:
    images = next(iter(loader(0, 12)))[0]

    def build() -> tuple[Module, DataLoader]:
        return Module(seed=None), loader(0, 48)

    result = data_randomization_test(build, images, methods="gradient", max_epochs=1, min_accuracy=0.01)
    assert list(result.to_dict()["verdicts"]) == ["gradient"]


_ALONE = """
import importlib.util, sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "lightning" or name.startswith("lightning."):
            raise ModuleNotFoundError(name)

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "lightning" else find_spec(name, package)
sys.meta_path.insert(0, Hidden())
import pytorch_lightning as pl
from pathlib import Path
from saliency_callbacks import SaliencyMonitor
from tests.trainer.test_pytorch_lightning import fit
assert issubclass(SaliencyMonitor, pl.Callback), SaliencyMonitor.__mro__
fit(Path(sys.argv[1]), SaliencyMonitor(probe=4, on_error="raise"))
assert "lightning" not in sys.modules
"""


@pytest.mark.skipif("lightning.pytorch" not in packages._NAMES, reason="lightning is not installed")
def test_without_the_other_package(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ALONE, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "saliency" / "index.json").exists()
