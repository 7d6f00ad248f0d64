"""``saliency-callbacks dismiss`` on what a ShortcutDiscovery left on disk."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from saliency_callbacks.cli import main
from saliency_callbacks.discovery.dismissals import FILE, Dismissal, dismiss, is_dismissed, load
from saliency_callbacks.report.headlines import headlines_of
from saliency_callbacks.report.pictures.stored_pictures import embedded_picture
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.report.shortcuts import shortcuts_of
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Snapshot
from tests.callbacks.discovery.suspicions import suspicion
from tests.report.shortcuts import write_discovery

FINGERPRINT = "ab" * 32


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_discovery(tmp_path / "a run" / "version_0")


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["dismiss", *arguments]) == 2
    return capsys.readouterr().err


def test_what_is_dismissed_is_known_to_later_runs_on_the_same_data(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dismiss", str(run), "copies-4-17"]) == 0
    assert "dismissed copies-4-17 (the same 32 pixels)" in capsys.readouterr().out
    beside = run.parent / "version_1" / "shortcuts"
    assert is_dismissed(suspicion(bearers=("3", "99")), load(beside, FINGERPRINT))
    assert not is_dismissed(suspicion(kind="places"), load(beside, FINGERPRINT))
    assert load(beside, "other data") == ()


def test_it_is_taken_back(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["dismiss", str(run), "copies-4-17"])
    main(["dismiss", str(run), "copies-x-3"])
    assert main(["dismiss", str(run), "copies-4-17", "--undo"]) == 0
    assert "is undone" in capsys.readouterr().out
    # Both are of one class and share their bearers, so they are one cue.
    assert json.loads((run / "shortcuts" / FILE).read_text())["dismissed"] == []
    assert "there is nothing to undo" in error_of(capsys, str(run), "copies-4-17", "--undo")


def test_what_a_later_list_leaves_out_is_still_known(run: Path) -> None:
    main(["dismiss", str(run), "copies-4-17"])
    write_discovery(run, found=(), epochs=4)
    assert main(["dismiss", str(run), "copies-4-17", "--undo"]) == 2, "the observations were made again, without it"
    write_discovery(run, epochs=3)
    assert main(["dismiss", str(run), "copies-4-17", "--undo"]) == 0


def test_the_report_sets_it_apart_and_its_command_takes_it_back(run: Path) -> None:
    dismiss(run / "shortcuts", Dismissal(4, "copies", ("17",), "the same 32 pixels", FINGERPRINT))
    ((section,), _) = shortcuts_of(read_run(run), embedded_picture)
    assert [item["dismissed"] for item in section["items"]] == [True, True]
    assert main(shlex.split(section["items"][0]["dismiss"])[1:]) == 0
    ((section,), _) = shortcuts_of(read_run(run), embedded_picture)
    assert [item["dismissed"] for item in section["items"]] == [False, False]


def test_the_headline_leaves_it_out(run: Path) -> None:
    main(["dismiss", str(run), "copies-4-17"])
    (found,) = headlines_of(read_run(run).archives, [])
    assert found["title"] == "No shortcut was found"


def test_it_was_dismissed_beside(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside = write_discovery(run.parent / "version_1")
    main(["dismiss", str(beside), "copies-4-17"])
    assert "in a neighboring run" in error_of(capsys, str(run), "copies-4-17", "--undo")


def test_mistakes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'copies-4-17'" in error_of(capsys, str(run), "copies-4-71")
    assert "run='nowhere' does not exist" in error_of(capsys, "nowhere", "copies-4-17")
    (run / "shortcuts" / FILE).write_text("torn")
    assert "cannot be read" in error_of(capsys, str(run), "copies-4-17")
    assert (run / "shortcuts" / FILE).read_text() == "torn", "it is not overwritten"


def test_a_run_without_a_discovery(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DiskSink(tmp_path).write(Snapshot(0, 9, "fit", {}, scores={"cue/patch/effect": 1.0}), {})
    assert "has no list of suspicions" in error_of(capsys, str(tmp_path), "copies-4-17")
