"""What version 0.1.0 left is read, reported, resumed and replayed; ``tests/data/version_0_1/make.py`` made it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from saliency_callbacks import CueAlarm
from saliency_callbacks.replay import find_checkpoints, replay
from saliency_callbacks.report import write_report
from saliency_callbacks.sinks import read_index, read_maps, read_probe
from tests.compatibility.trainings import DATA, EXPECTED, TRAININGS, Case
from tests.data.version_0_1 import models

# Processors and releases of torch round differently, and what is trained goes on from there.
CLOSE = 1e-5


@pytest.fixture(scope="module", params=TRAININGS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.fixture(scope="module")
def resumed(case: Case, tmp_path_factory: pytest.TempPathFactory) -> L.Trainer:
    """A Trainer that has gone on from the checkpoint, in a directory without the run."""
    return case.training.resumed(tmp_path_factory.mktemp("resumed"), case.checkpoint)


def directories(run: Path) -> dict[str, Path]:
    return {path.parent.relative_to(run).as_posix(): path.parent for path in sorted(run.rglob("index.json"))}


def observations(run: Path) -> dict[str, list[dict[str, Any]]]:
    """The scores in the directory of a run, by the directory of the callback, as ``expected.json`` has them."""
    return {
        name: [
            {key: entry[key] for key in ("stage", "epoch", "step", "scores")}
            for entry in read_index(directory)["observations"]
        ]
        for name, directory in directories(run).items()
    }


def known(scores: Mapping[str, float | None]) -> dict[str, float]:
    """Return scores as they were before they were written: ``None`` is NaN."""
    return {tag: math.nan if score is None else score for tag, score in scores.items()}


def close(scores: Mapping[str, float | None]) -> Any:
    """Return what equals the scores but for rounding."""
    return pytest.approx(known(scores), rel=CLOSE, abs=CLOSE, nan_ok=True)


def assert_observed(run: Path, expected: Mapping[str, list[dict[str, Any]]]) -> None:
    found = observations(run)
    assert found.keys() == expected.keys()
    for name, entries in expected.items():
        moments = [{**entry, "scores": sorted(entry["scores"])} for entry in found[name]]
        assert moments == [{**entry, "scores": sorted(entry["scores"])} for entry in entries], name
        for entry, one in zip(found[name], entries, strict=True):
            assert known(entry["scores"]) == close(one["scores"]), (name, one["stage"], one["epoch"])


def numbers_in(headline: Mapping[str, str]) -> set[str]:
    found = set(re.findall(r"\d+(?:\.\d+)?", headline["title"] + " " + headline["text"]))
    assert found
    return found


def reported(run: Path) -> dict[str, Any]:
    """What the page of a run shows."""
    page = write_report([run]).read_text(encoding="utf-8")
    (payload,) = re.findall(r'<script type="application/json" id="payload">(.*?)</script>', page, flags=re.DOTALL)
    return json.loads(payload)["runs"][0]


def tables_in(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """The rows of the tables in a report, by their tags, with minus signs as they are on disk."""
    found = {}
    for document in report["documents"]:
        for block in document["blocks"]:
            if "table" in block:
                rows = [block["table"]["head"], *block["table"]["rows"]]
                words = [" | ".join("".join(text for _, text in cell) for cell in row) for row in rows]
                found[document["tag"]] = [row.replace("−", "-") for row in words]
    return found


# A run's directory


def test_every_run_and_checkpoint_is_covered():
    assert {path.name for path in (DATA / "runs").iterdir()} == set(TRAININGS)
    assert {path.stem for path in (DATA / "checkpoints").iterdir()} == set(TRAININGS)
    assert set(EXPECTED) == set(TRAININGS)


def test_the_index_is_read(case):
    assert observations(case.run) == case.expected["run"]
    assert [read_index(directory)["damaged"] for directory in directories(case.run).values()] == [0] * len(
        case.expected["run"]
    )


def test_the_maps_are_read(case):
    for directory in directories(case.run).values():
        for entry in read_index(directory)["observations"]:
            if entry["file"] is None:
                continue
            maps = read_maps(directory, entry)
            for method, facts in entry["methods"].items():
                assert list(maps[f"{method}/magnitude"].shape) == [4, *facts["size"]]
            behind = {tag: maps[f"samples/{tag}"] for tag in entry["scores"] if f"samples/{tag}" in maps}
            means = {tag: float(values[values.isfinite()].double().mean()) for tag, values in behind.items()}
            assert means == close({tag: entry["scores"][tag] for tag in means})


def test_the_probe_is_read(case):
    indices = {name: (path, read_index(path)) for name, path in directories(case.run).items()}
    ((directory, index),) = [one for one in indices.values() if one[1]["probe"] is not None]
    probe = read_probe(directory, index["probe"])
    assert probe.labels is not None
    assert len(probe.ids) == len(probe.labels) == 4
    assert list(probe.class_names or ()) == list(case.training.data().val.classes)
    if case.name == "images":
        assert probe.images is not None
        assert probe.masks is not None
        assert probe.images.shape[:3] == (4, 8, 8)
        assert torch.equal(probe.masks, probe.images[..., 0] > 0.5 * 255)
    else:
        assert probe.tokens is not None
        assert {token for tokens in probe.tokens for token in tokens} <= {*models.TOKENS, "dullly", "greatly"}


def test_the_report_says_what_it_said(case, tmp_path):
    """In words that have changed since, with the same numbers."""
    report = reported(case.copied(tmp_path))
    assert [one["level"] for one in report["headlines"]] == [one["level"] for one in case.expected["headlines"]]
    for found, expected in zip(report["headlines"], case.expected["headlines"], strict=True):
        assert numbers_in(found) >= numbers_in(expected)
    assert [document["tag"] for document in report["documents"]] == case.expected["texts"]
    assert tables_in(report) == case.training.tables
    assert [note.partition(";")[0] for note in report["notes"]] == case.training.notes
    assert [len(monitor["frames"]) for monitor in report["monitors"]] == [case.training.frames]


# A checkpoint


def test_the_checkpoint_has_the_keys_of_the_callbacks(case):
    states = torch.load(case.checkpoint, weights_only=True)["callbacks"]
    assert {key: sorted(state) for key, state in states.items()} == case.expected["checkpoint"]
    callbacks = {callback.state_key: callback for callback in case.training.callbacks()}
    assert callbacks.keys() == states.keys()
    for key, callback in callbacks.items():
        callback.load_state_dict(states[key])
        assert sorted(callback.state_dict()) == case.expected["checkpoint"][key]
        assert callback.state.n_observations == 2


def test_a_resumed_training_finds_the_same(case, resumed):
    assert_observed(Path(resumed.default_root_dir), case.expected["resumed"])
    logged = {tag: value.item() for tag, value in resumed.callback_metrics.items()}
    assert logged.keys() == case.expected["logged"].keys()
    # Where that version logged NaN, which ends a training by early stopping, there is a number.
    assert all(map(math.isfinite, logged.values()))
    assert logged == close({tag: 0.0 if value is None else value for tag, value in case.expected["logged"].items()})


def test_a_resumed_training_writes_the_same_tables(case, resumed):
    found = tables_in(reported(Path(resumed.default_root_dir)))
    assert found == case.training.tables


def test_the_alarm_counts_what_came_before_the_checkpoint(tmp_path_factory):
    case = Case("images")
    trainer = case.training.resumed(tmp_path_factory.mktemp("alarm"), case.checkpoint)
    (alarm,) = [callback for callback in trainer.callbacks if isinstance(callback, CueAlarm)]
    told = [(evaluation.stage, evaluation.epoch, evaluation.alarm, evaluation.fired) for evaluation in alarm.history]
    assert told == [("initial", 0, False, False), ("fit", 0, False, False), ("fit", 1, True, True)]
    last = read_index(Path(trainer.default_root_dir) / "cue/patch")["observations"][0]
    assert (last["epoch"], list(last["alerts"])) == (1, ["cue/patch/alarm"])


def test_the_index_goes_on(case, tmp_path):
    run = case.copied(tmp_path)
    case.training.resumed(run, case.checkpoint)
    expected = {
        name: [*entries[:2], *case.expected["resumed"].get(name, [])] for name, entries in case.expected["run"].items()
    }
    assert_observed(run, expected)
    for name, directory in directories(run).items():
        before, after = ((one / name / "observations.jsonl").read_bytes() for one in (case.run, run))
        assert after.startswith(before)
        assert after != before
        assert read_index(directory)["damaged"] == 0
        assert read_index(directory)["probe"] == read_index(case.run / name)["probe"]
        assert {path.name for path in directory.glob("maps/*")} == {
            path.name for path in case.run.glob(f"{name}/maps/*")
        }
    assert tables_in(reported(run)) == case.training.tables


def test_a_replay_finds_the_same(case, tmp_path):
    checkpoints, left_out = find_checkpoints([case.checkpoint])
    trainer = case.training.trainer(tmp_path)
    replay(trainer, case.training.model(), checkpoints, datamodule=case.training.data(), is_untrained=True)
    assert left_out == []
    assert_observed(tmp_path, case.expected["replayed"])
