"""What cannot be shown is said, and the rest is shown."""

from __future__ import annotations

import json
import os
import shutil
from threading import Thread
from urllib.parse import urlencode

import pytest

from saliency_callbacks.dashboard.found_runs import FoundRun
from saliency_callbacks.dashboard.growing_index import GrowingIndex
from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report import write_report
from saliency_callbacks.sinks import DiskSink, read_index
from saliency_callbacks.sinks.disk import journal
from saliency_callbacks.types import Snapshot
from tests.dashboard.conftest import Client


def listed(client):
    return {run["id"]: run["problem"] for run in client.get("runs.json").json["runs"]}


def test_a_directory_without_runs(client, tmp_path):
    listing = client.get("runs.json").json
    assert listing["runs"] == []
    (note,) = listing["notes"]
    assert f"No run with maps was found below {tmp_path}" in note
    assert all(name in note for name in ("SaliencyMonitor", "TokenSaliencyMonitor", "ShortcutDiscovery"))


def test_links_that_were_passed_over_are_told(tmp_path, write_run):
    write_run(tmp_path / "elsewhere")
    (tmp_path / "logs" / "deep").mkdir(parents=True)
    (tmp_path / "logs" / "deep" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    notes = Client(LogDirectory(tmp_path / "logs")).get("runs.json").json["notes"]
    assert "Symbolic links to directories are not followed" in notes[1]


def test_a_name_that_is_not_text(client, tmp_path, write_run):
    directory = tmp_path / os.fsdecode(b"r\xe9sum\xe9")
    try:
        directory.mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    write_run(directory)
    shutil.copytree(directory / "saliency", directory / "deep" / os.fsdecode(b"\xff"))
    ((run, problem),) = listed(client).items()
    assert (run, problem) == ("r\\xe9sum\\xe9", None)
    (monitor, other) = client.get(f"run.json?{urlencode({'run': run})}").json["runs"][0]["monitors"]
    assert {monitor["name"], other["name"]} == {"saliency", "deep/\\xff"}
    for name in (monitor["name"], other["name"]):
        query = {"run": run, "monitor": name, "step": 9, "stage": "fit", "method": "gradient"}
        assert client.get(f"map.json?{urlencode(query)}").status == 200
    assert "r\\xe9sum\\xe9" in write_report([directory], tmp_path / "report.html").read_text()


def test_a_run_that_cannot_be_looked_at_is_one_row(client, tmp_path, write_run, monkeypatch):
    for name in ("bad", "good"):
        write_run(tmp_path / name)
    original = FoundRun.state

    def state(run):
        if run.id == "bad":
            raise RuntimeError("no")
        return original(run)

    monkeypatch.setattr(FoundRun, "state", state)
    assert listed(client) == {"good": None, "bad": "RuntimeError: no"}


def test_a_list_that_cannot_be_opened(client, tmp_path, write_run):
    observations = write_run(tmp_path / "run") / "saliency" / "observations.jsonl"
    observations.unlink()
    observations.mkdir()
    (observations / "file").touch()
    (problem,) = listed(client).values()
    assert f"{observations} cannot be read (Is a directory)" in problem


def test_a_run_is_one_from_its_first_line_on(client, tmp_path, write_run, write_alarm):
    """The tags of an archive tell which run it belongs to, once it has any."""
    write_alarm(tmp_path / "logs" / "run")
    archive = write_run(tmp_path / "logs" / "run") / "saliency"
    lines = (archive / "observations.jsonl").read_bytes()
    (archive / "observations.jsonl").write_bytes(b"")
    assert listed(client) == {"logs/run": None}
    (archive / "observations.jsonl").write_bytes(lines)
    assert listed(client) == {"logs/run": None}


def test_a_run_that_gets_another_name_is_not_gone(client, tmp_path, write_run):
    archive = write_run(tmp_path / "run") / "saliency"
    lines = (archive / "observations.jsonl").read_bytes()
    (archive / "observations.jsonl").unlink()
    assert listed(client) == {"run/saliency": "no observations yet"}
    (archive / "observations.jsonl").write_bytes(lines)
    assert listed(client) == {"run": None}


def test_a_directory_that_does_not_exist(tmp_path):
    listing = Client(LogDirectory(tmp_path / "absent")).get("runs.json").json
    assert (listing["runs"], listing["notes"]) == ([], [f"{tmp_path / 'absent'} is not a readable directory."])


def test_no_directory():
    assert "--logdir" in Client().get("runs.json").json["notes"][0]


def _nothing_yet(run):
    (run / "saliency" / "observations.jsonl").unlink()


def _torn_index(run):
    (run / "saliency" / "index.json").write_text('{"format": 2, "pro')


def _newer(run):
    index = run / "saliency" / "index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "format": 3}))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_nothing_yet, "no observations yet"),
        (_torn_index, "is not JSON"),
        (_newer, "is not an index of format 2 (found 3). Use the version of saliency-callbacks that wrote it"),
    ],
)
def test_a_run_that_cannot_be_shown(client, tmp_path, write_run, damage, problem):
    write_run(tmp_path / "good")
    damage(write_run(tmp_path / "bad"))
    found = listed(client)
    assert found.pop("good") is None
    ((name, said),) = found.items()
    assert problem in said
    reply = client.get(f"run.json?run={name}")
    assert reply.status == 404
    assert reply.json["error"].endswith(".") is (damage is not _nothing_yet)
    assert problem.partition(" (")[0] in reply.json["error"]
    assert client.get("run.json?run=good").status == 200


def test_one_damaged_archive_leaves_the_others(client, tmp_path, write_run, write_alarm):
    write_run(tmp_path / "run")
    _torn_index(write_alarm(tmp_path / "run").parent / "run")
    assert listed(client)["run"] is None
    (run,) = client.get("run.json?run=run").json["runs"]
    assert [section["name"] for section in run["sections"]] == ["cue/patch"]
    assert "was left out" in run["notes"][0]


def test_torn_lines_and_maps(client, tmp_path, write_run):
    archive = write_run(tmp_path / "run") / "saliency"
    with (archive / "observations.jsonl").open("ab") as file:
        file.write(b'garbage\n{"step": 49, "sta')
    maps = archive / "maps" / "000000019.safetensors"
    maps.write_bytes(maps.read_bytes()[:50])
    (run,) = client.get("run.json?run=run").json["runs"]
    assert [frame["step"] for frame in run["monitors"][0]["frames"]] == [9, 29, 39]
    assert "damaged index entries were left out (2 of 6)" in run["notes"][0]
    assert "has no images" in run["notes"][1]


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_a_number_that_is_not_finite_is_damage(client, tmp_path, write_run, number):
    """Python's JSON takes it, browsers do not."""
    observations = write_run(tmp_path / "run") / "saliency" / "observations.jsonl"
    lines = observations.read_bytes()
    score = b'"saliency/probe_accuracy": 0.25'
    assert score in lines
    observations.write_bytes(lines.replace(score, b'"saliency/probe_accuracy": ' + number, 1))
    (run,) = client.get("run.json?run=run").json["runs"]
    assert len(run["monitors"][0]["frames"]) == 3
    assert "damaged index entries were left out (1 of 4)" in run["notes"][0]
    assert "damaged index entries were left out (1 of 4)" in write_report([tmp_path / "run"]).read_text()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_an_index_with_a_number_that_is_not_finite_is_named(client, tmp_path, write_run, number):
    index = write_run(tmp_path / "run") / "saliency" / "index.json"
    index.write_text(index.read_text().replace('"groups": null', f'"groups": {number}'))
    assert number in index.read_text()
    with pytest.raises(ConfigurationError, match="is no finite number"):
        read_index(index.parent)
    assert "is no finite number" in client.get("run.json?run=run").json["error"]


def test_a_run_that_disappears(client, tmp_path, write_run):
    write_run(tmp_path / "stays")
    write_run(tmp_path / "goes")
    assert listed(client) == {"stays": None, "goes": None}
    client.get("run.json?run=goes")
    seen = {run["id"]: run["updated"] for run in client.get("runs.json").json["runs"]}
    shutil.rmtree(tmp_path / "goes")
    for _ in range(2):
        assert {run["id"]: run["updated"] for run in client.get("runs.json").json["runs"]} == seen
    found = listed(client)
    assert found["stays"] is None
    assert found["goes"].endswith("no longer exists")
    assert client.get("run.json?run=goes").status == 404
    write_run(tmp_path / "goes")
    assert listed(client) == {"stays": None, "goes": None}
    assert client.get("run.json?run=goes").status == 200


def test_a_run_that_is_being_written(client, tmp_path, write_run):
    write_run(tmp_path / "run")
    writer = Thread(target=write_run, args=(tmp_path / "run",), kwargs={"epochs": 12})
    writer.start()
    seen = []
    while writer.is_alive():
        reply = client.get("run.json?run=run")
        assert reply.status == 200, reply.body
        seen.append(len(reply.json["runs"][0]["monitors"][0]["frames"]))
    writer.join()
    assert seen == sorted(seen), "an observation that was shown stays"
    assert len(client.get("run.json?run=run").json["runs"][0]["monitors"][0]["frames"]) == 12


def test_the_index_is_read_on_where_it_ended(tmp_path, write_run, monkeypatch):
    archive = write_run(tmp_path) / "saliency"
    growing = GrowingIndex(archive)
    assert growing.read() == read_index(archive)
    parsed = []
    original = journal._record
    monkeypatch.setattr(journal, "_record", lambda line, key: parsed.append(line) or original(line, key))
    growing.read()
    assert parsed == []
    torn = b'{"step": 99, "sta'
    with (archive / "observations.jsonl").open("ab") as file:
        file.write(torn)
    assert (growing.read()["damaged"], parsed) == (1, [])
    DiskSink(archive).write(Snapshot(9, 99, "fit", {}, scores={"x": 1.0}), {})
    found = growing.read()
    assert len(parsed) == 1
    assert found == read_index(archive)


def test_an_index_that_was_replaced_is_read_anew(tmp_path, write_run):
    archive = write_run(tmp_path / "a") / "saliency"
    growing = GrowingIndex(archive)
    growing.read()
    other = write_run(tmp_path / "b", epochs=9, strength=3.0, metadata={"other": 1}) / "saliency"
    shutil.copy(other / "observations.jsonl", archive / "observations.jsonl")
    assert growing.read() == read_index(archive)
    (archive / "observations.jsonl").write_bytes(b"")
    assert growing.read()["observations"] == []
