"""What a real training leaves of its discovered shortcuts, as a person meets it in the report."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from saliency_callbacks import Compute, ShortcutDiscovery
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.cli import main
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.report.pictures.stored_pictures import embedded_picture
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.report.shortcuts import shortcuts_of
from tests.discovery.planted import CLASS, CORNER, Corners, Nothing, planted_digits
from tests.trainer.runs import Classifier, trainer


class Leaning(Classifier):
    """Sees a corner, and nothing else there, as a sign of one class."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(36, 4)))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images[:, :, :6, :6])
        leaning = F.one_hot(torch.tensor(CLASS), 4).to(logits)
        return logits + 9 * images[:, :, CORNER, CORNER].mean((1, 2, 3))[:, None] * leaning


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, make in {"copies": Corners, "places": Nothing, "properties": Nothing}.items():
        monkeypatch.setitem(GENERATORS, name, make)
    return trained(tmp_path / "version_0")


def discovery() -> ShortcutDiscovery:
    return ShortcutDiscovery(
        144,
        every_n_epochs=1,
        on_suspicion="log",
        on_error="raise",
        compute=Compute(seed=1),
        appearance=Appearance(class_names=["zero", "one", "two", "three"]),
    )


def trained(directory: Path) -> Path:
    loaders = DataLoader(planted_digits(), 24), DataLoader(planted_digits(4), 8)
    run = trainer(directory, discovery(), max_epochs=2)
    run.fit(Leaning(), *loaders)
    run.save_checkpoint(directory / "last.ckpt")
    return directory


def items_of(run: Path) -> list[dict]:
    ((section,), notes) = shortcuts_of(read_run(run), embedded_picture)
    assert notes == []
    return section["items"]


def test_the_section_has_the_list_the_picture_and_a_cue_that_is_watched(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (item,) = items_of(run)
    assert item["title"] == "Class three: the same 4 pixels"
    assert item["used"]
    assert item["picture"] is not None
    monkeypatch.chdir(run)
    scope: dict = {}
    exec(item["cue"], scope)
    assert scope["alarm"].suspect_class == CLASS
    black = torch.zeros(1, 1, 8, 8)
    expected = black.clone()
    expected[:, :, CORNER, CORNER] = 1
    torch.testing.assert_close(scope["found"].to_cue().insert(black), expected)


def test_what_is_dismissed_is_left_out_by_a_later_run_and_in_the_report(run: Path, tmp_path: Path) -> None:
    (item,) = items_of(run)
    assert main(shlex.split(item["dismiss"])[1:]) == 0
    assert [one["dismissed"] for one in items_of(run)] == [True]
    later = trained(tmp_path / "version_1")
    assert items_of(later) == []
    ((section,), _) = shortcuts_of(read_run(later), embedded_picture)
    assert section["note"].startswith("1 suspicion dismissed.")
