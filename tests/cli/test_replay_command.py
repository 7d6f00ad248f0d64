"""``saliency-callbacks replay`` after a real ``LightningCLI``, and what can go wrong with it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI

from saliency_callbacks.cli import main
from saliency_callbacks.sinks import read_index

# Outside the tests' own modules, as a user's are: found from the directory in which the command is run.
_MODULE = """
import lightning as L
import torch
from torch import nn
from tests.trainer.runs import Classifier, train_loader, val_loader

class Net(Classifier):
    def __init__(self, width: int = 4, extra: object = None):
        super().__init__(nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 36, 10)))

class Data(L.LightningDataModule):
    def train_dataloader(self):
        return train_loader()
    def val_dataloader(self):
        return val_loader()
"""
_CONFIG: dict[str, Any] = {
    "seed_everything": 3,
    "model": {"class_path": "own_training.Net", "init_args": {"width": 3}},
    "data": {"class_path": "own_training.Data"},
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 2,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": {
            "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
            "init_args": {"save_dir": "my runs", "name": "", "version": "live"},
        },
        "callbacks": [
            {
                "class_path": "saliency_callbacks.SaliencyMonitor",
                "init_args": {"methods": ["gradient", "hires_cam"], "probe": 4},
            },
            {
                "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                "init_args": {"dirpath": "my runs/checkpoints", "save_top_k": -1, "save_last": True},
            },
        ],
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory, with a space in its name, in which a LightningCLI has trained."""
    root = tmp_path_factory.mktemp("a training")
    (root / "own_training.py").write_text(_MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.syspath_prepend(str(root))
        patch.setattr(sys, "argv", ["train.py"])
        config = root / "given.yaml"
        config.write_text(yaml.safe_dump(_CONFIG))
        patch.setattr(sys, "argv", ["train.py", "fit", "--config", str(config)])
        LightningCLI()
    return root


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the command is run."""
    root = tmp_path / "a copy"
    shutil.copytree(trained, root)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return root


def run(*arguments: str) -> int:
    return main(["replay", *arguments])


def with_config(**changes: Any) -> str:
    """Write the configuration with other settings of the trainer, or others beside it."""
    trainer = {**_CONFIG["trainer"], **changes.pop("trainer", {})}
    Path("changed.yaml").write_text(yaml.safe_dump({**_CONFIG, "trainer": trainer, **changes}))
    return "changed.yaml"


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("saliency-callbacks"))
    return line


def test_the_saved_configuration_gives_what_the_training_wrote(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("--config", "my runs/live/config.yaml", "--checkpoints", "my runs/checkpoints", "--output", "re play") == 0
    )
    printed = capsys.readouterr().out
    assert "saliency: 3 observations of 2 checkpoints" in printed
    assert "last.ckpt is left out, because it is of step 8, like epoch=1-step=8.ckpt" in printed
    live, replayed = (read_index(here / run / "saliency") for run in ("my runs/live", "re play"))
    assert live == replayed
    assert list((here / "re play").glob("events.out.tfevents.*"))


def test_from_another_directory(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(here))
    monkeypatch.syspath_prepend(str(here))
    assert run("--config", str(here / "given.yaml"), "--checkpoints", str(here / "my runs" / "checkpoints")) == 0
    assert (tmp_path / "lightning_logs" / "replay" / "version_0" / "saliency" / "index.json").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"trainer": {"logger": False}},
        {"fit": None, "ckpt_path": "elsewhere.ckpt", "trainer": {"devices": 2, "strategy": "ddp"}},
        {"seed_everything": True},
    ],
    ids=["no logger", "resumed on two devices", "no seed"],
)
def test_settings_of_the_training_that_a_replay_has_no_use_for(here: Path, changes: dict[str, Any]) -> None:
    single = "my runs/checkpoints/epoch=1-step=8.ckpt"
    assert run("--config", with_config(**changes), "--checkpoints", single, "--output", "out") == 0
    seeded = "logger" in changes["trainer"] if "trainer" in changes else False
    stages = [entry["stage"] for entry in read_index(here / "out" / "saliency")["observations"]]
    assert stages == (["initial", "fit", "final"] if seeded else ["fit"]), "a single moment does not evolve"


def test_a_second_file_gives_the_callbacks(here: Path) -> None:
    own = {"trainer": {"callbacks": [{"class_path": "saliency_callbacks.SaliencyMonitor", "init_args": {"probe": 2}}]}}
    Path("callbacks.yaml").write_text(yaml.safe_dump(own))
    given = with_config(trainer={"callbacks": None})
    assert run("--config", given, "callbacks.yaml", "--checkpoints", "my runs/checkpoints", "--output", "out") == 0
    assert len(read_index(here / "out" / "saliency")["observations"][0]["ids"]) == 2


@pytest.mark.usefixtures("here")
class TestMistakes:
    def test_no_callback_of_ours(self, capsys: pytest.CaptureFixture[str]) -> None:
        given = with_config(trainer={"callbacks": []})
        assert "nothing to replay" in error_of(capsys, "--config", given, "--checkpoints", "my runs/checkpoints")

    def test_a_directory_above_the_checkpoints(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = error_of(capsys, "--config", "given.yaml", "--checkpoints", "my runs")
        assert "there are some in 'my runs/checkpoints'" in line

    def test_another_model(self, capsys: pytest.CaptureFixture[str]) -> None:
        model = {"class_path": "own_training.Net", "init_args": {"width": 5}}
        line = error_of(capsys, "--config", with_config(model=model), "--checkpoints", "my runs/checkpoints")
        assert "does not belong to this Net" in line
        assert "size mismatch for net.0.weight" in line

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"model": {"class_path": "own_training.Nets"}}, "Nets"),
            ({"model": {"class_path": "own_training.Net", "init_args": {"widht": 1}}}, "widht"),
            ({"trainer": {"max_epoch": 1}}, "max_epoch"),
            ({"trainer": {"callbacks": [{"class_path": "saliency_callbacks.Saliency"}]}}, "Saliency"),
        ],
        ids=["class", "argument", "trainer", "callback"],
    )
    def test_a_config_with_a_mistake(
        self, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
    ) -> None:
        line = error_of(capsys, "--config", with_config(**changes), "--checkpoints", "my runs/checkpoints")
        assert words in line

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("trainer: {}", "has no `model`"),
            ("- a", "contains a list"),
            ("a: [", "is not valid YAML"),
            (None, "cannot be read"),
        ],
    )
    def test_no_config(self, capsys: pytest.CaptureFixture[str], content: str | None, words: str) -> None:
        if content is not None:
            Path("other.yaml").write_text(content)
        assert words in error_of(capsys, "--config", "other.yaml", "--checkpoints", "my runs/checkpoints")

    def test_an_output_that_is_in_use(self, capsys: pytest.CaptureFixture[str]) -> None:
        given = ("--config", "given.yaml", "--checkpoints", "my runs/checkpoints", "--output", "my runs")
        assert "exists and is not an empty directory" in error_of(capsys, *given)

    def test_a_checkpoint_that_might_run_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        content = torch.load("my runs/checkpoints/last.ckpt", weights_only=True)
        torch.save({**content, "config": Path("x")}, "unsafe.ckpt")
        given = ("--config", "given.yaml", "--checkpoints", "unsafe.ckpt")
        assert "--trust-checkpoints" in error_of(capsys, *given)
        assert run(*given, "--trust-checkpoints") == 0

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"no checkpoint", "cannot be read"), ({"weights": torch.ones(1)}, "has no 'state_dict' and no 'epoch'")],
    )
    def test_no_checkpoint(self, capsys: pytest.CaptureFixture[str], content: Any, words: str) -> None:
        if isinstance(content, bytes):
            Path("other.ckpt").write_bytes(content)
        else:
            torch.save(content, "other.ckpt")
        assert words in error_of(capsys, "--config", "given.yaml", "--checkpoints", "other.ckpt")
