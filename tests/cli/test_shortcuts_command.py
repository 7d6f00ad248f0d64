"""``saliency-callbacks shortcuts`` on what a real ``LightningCLI`` left: its configuration and a checkpoint."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lightning.pytorch.cli import LightningCLI
from PIL import Image

from saliency_callbacks.cli import main
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.discovery.words import HONEST_WORDS
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.replay import find_checkpoints, load_run
from saliency_callbacks.replay.shortcuts import search_for_shortcuts
from saliency_callbacks.sinks import read_index
from tests.discovery.planted import CLASS, Corners, Nothing

_MODULE = """
import lightning as L
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tests.discovery.planted import CLASS, CORNER, planted_digits
from tests.trainer.runs import Classifier

class Net(Classifier):
    # Sees the corner through a gain that is part of the checkpoint.
    def __init__(self, gain: float = 0.0):
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(36, 4)))
        self.register_buffer("gain", torch.tensor(gain))

    def forward(self, images):
        logits = self.net(images[:, :, :6, :6])
        leaning = F.one_hot(torch.tensor(CLASS), 4).to(logits)
        return logits + self.gain * images[:, :, CORNER, CORNER].mean((1, 2, 3))[:, None] * leaning

class Data(L.LightningDataModule):
    def __init__(self, share: float = 0.5):
        super().__init__()
        self.share = share
    def train_dataloader(self):
        return DataLoader(planted_digits(share=self.share), 24)
    def val_dataloader(self):
        return DataLoader(planted_digits(4), 8)
"""
_DISCOVERY = {
    "class_path": "saliency_callbacks.ShortcutDiscovery",
    "init_args": {"probe": 144, "kinds": ["copies"], "storage": {"save_maps": False}},
}
_CONFIG: dict[str, Any] = {
    "seed_everything": 3,
    "model": {"class_path": "searched_training.Net", "init_args": {"gain": 9.0}},
    "data": {"class_path": "searched_training.Data"},
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 1,
        "log_every_n_steps": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [
            {
                "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                "init_args": {"dirpath": "checkpoints", "save_last": True},
            },
        ],
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("a training")
    (root / "searched_training.py").write_text(_MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.syspath_prepend(str(root))
        Path("given.yaml").write_text(yaml.safe_dump(_CONFIG))
        patch.setattr(sys, "argv", ["train.py", "fit", "--config", "given.yaml"])
        LightningCLI()
    return root


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the training, and a search that is told where to look."""
    monkeypatch.chdir(trained)
    monkeypatch.setattr(sys, "path", [str(trained), *sys.path])
    for name, make in {"copies": Corners, "places": Nothing, "properties": Nothing}.items():
        monkeypatch.setitem(GENERATORS, name, make)
    return trained


def with_config(**changes: Any) -> str:
    Path("changed.yaml").write_text(yaml.safe_dump({**_CONFIG, **changes}))
    return "changed.yaml"


def with_discovery() -> str:
    return with_config(trainer={**_CONFIG["trainer"], "callbacks": [_DISCOVERY]})


def test_the_list_the_pictures_and_the_report(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "what was found"
    given = [
        "--config",
        "given.yaml",
        with_discovery(),
        "--checkpoint",
        "checkpoints/last.ckpt",
        "--output",
        str(output),
    ]
    assert main(["shortcuts", *given]) == 0
    printed = capsys.readouterr().out
    (line,) = (line for line in printed.splitlines() if line.startswith("1. "))
    assert re.search(rf"the same 4 pixels: in \d+% of class {CLASS} \(\d+ of 24\) and in no other class", line)
    assert "shifts them towards 3 by" in line
    assert HONEST_WORDS in printed
    key = line.partition("[")[2].partition("]")[0]
    picture = np.asarray(Image.open(output / f"1-{key}.png"))
    assert picture.shape[1] >= 560
    assert (picture[..., 0] != picture[..., 1]).any(), "a frame in red: predictions turn"
    assert f"| `{key}` | `{CLASS}` | copies |" in (output / "shortcuts.md").read_text()
    assert (output / "report.html").stat().st_size > 10_000
    (entry,) = read_index(output / "shortcuts")["observations"]
    assert entry["tables"]["shortcuts/list"]["rows"][0][0] == [key, "name"]
    assert main(["dismiss", str(output), key]) == 0


def test_without_a_discovery_in_the_configuration_and_nothing_to_find(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = with_config(data={"class_path": "searched_training.Data", "init_args": {"share": 0.0}})
    given = ["--config", clean, "--checkpoint", "checkpoints/last.ckpt", "--output", str(tmp_path / "out")]
    with pytest.warns(SaliencyWarning, match="144 samples instead of 1000"):
        assert main(["shortcuts", *given]) == 0
    printed = capsys.readouterr().out
    assert "no shortcut is suspected" in printed
    assert "An empty list does not rule out a shortcut." in printed
    assert "dismiss" not in printed
    assert list((tmp_path / "out").glob("*.png")) == []


def test_the_weights_are_those_of_the_checkpoint(here: Path, tmp_path: Path) -> None:
    """The gain of the configuration is 0, that of the checkpoint 9."""
    model = {"class_path": "searched_training.Net", "init_args": {"gain": 0.0}}
    trainer = {**_CONFIG["trainer"], "callbacks": [_DISCOVERY]}
    (checkpoint,), _ = find_checkpoints(["checkpoints/last.ckpt"])
    found = search_for_shortcuts(load_run([with_config(model=model, trainer=trainer)], tmp_path / "out"), checkpoint)
    assert [one.is_used for one in found.suspicions] == [True]
    assert found.suspicions[0].effect > 1


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--config", "given.yaml"], "checkpoint"),
        (["--config", "given.yaml", "--checkpoint", "nowhere.ckpt"], "checkpoints='nowhere.ckpt' does not exist"),
        (["--config", "given.yaml", "--checkpoint", "."], "checkpoint='.' is a directory; expected one file"),
        (["--config", "nowhere.yaml", "--checkpoint", "checkpoints/last.ckpt"], "config='nowhere.yaml' cannot be read"),
        (
            ["--config", "given.yaml", "--checkpoint", "checkpoints/last.ckpt", "--output", "."],
            "not an empty directory",
        ),
    ],
)
def test_a_mistake_is_one_line(given: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["shortcuts", *given]) == 2
    printed = capsys.readouterr()
    (line,) = (line for line in printed.err.splitlines() if line.startswith("saliency-callbacks"))
    assert words in line
