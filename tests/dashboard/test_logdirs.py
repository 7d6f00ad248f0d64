from pathlib import Path

import pytest

from saliency_callbacks.dashboard.logdirs import LogDirectory, parse_logdir, parse_logdir_spec
from tests.dashboard.conftest import Client


def test_one_directory_needs_no_prefix(tmp_path):
    assert parse_logdir(str(tmp_path)) == (LogDirectory(tmp_path),)


def test_a_comma_may_be_part_of_a_name(tmp_path):
    (tmp_path / "a,b").mkdir()
    assert parse_logdir(str(tmp_path / "a,b")) == (LogDirectory(tmp_path / "a,b"),)


def test_relative_paths_and_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert [one.path for one in parse_logdir("logs,~/logs")] == [tmp_path / "logs", tmp_path / "home" / "logs"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a:/x,b:/y", [("a/", "/x"), ("b/", "/y")]),
        ("/x,/y", [("x/", "/x"), ("y/", "/y")]),
        ("/p/x,/q/x", [("x/", "/p/x"), ("x (2)/", "/q/x")]),
        ("a:/x,a:/y", [("a/", "/x"), ("a (2)/", "/y")]),
        ("a:/x", [("a/", "/x")]),
        ("/with:colon", [("", "/with:colon")]),
        ("gs://bucket/x,/y", [("", "/y")]),
        ("gs://bucket/x", []),
        ("", []),
    ],
)
def test_specs(given, expected):
    assert [(one.prefix, str(one.path)) for one in parse_logdir_spec(given)] == expected


def test_the_same_name_below_two_directories(tmp_path, write_run):
    for parent in ("a", "b"):
        write_run(tmp_path / parent / "run")
    client = Client(*parse_logdir(f"{tmp_path / 'a'},{tmp_path / 'b'}"))
    assert sorted(run["id"] for run in client.get("runs.json").json["runs"]) == ["a/run", "b/run"]
    assert client.get("run.json?run=b/run").status == 200


def test_a_log_directory_may_be_a_run_or_its_archive(tmp_path, write_run, write_alarm):
    write_run(tmp_path / "run")
    write_alarm(tmp_path / "run")
    (found,) = Client(LogDirectory(tmp_path / "run")).get("runs.json").json["runs"]
    assert found["id"] == "run"
    (found,) = Client(LogDirectory(tmp_path / "run" / "saliency")).get("runs.json").json["runs"]
    assert found["id"] == "saliency"


def test_which_archives_are_one_run(tmp_path, write_run, write_alarm):
    from saliency_callbacks.sinks import DiskSink
    from saliency_callbacks.types import Snapshot

    write_run(tmp_path / "version_0")
    write_alarm(tmp_path / "version_0")
    write_run(tmp_path / "version_0", namespace="saliency-1", epochs=1)
    DiskSink(tmp_path / "by_hand").write(Snapshot(0, 1, "fit", {}, scores={"x": 1.0}), {})
    DiskSink(tmp_path / "marked" / "maps_of" / "mine").write(Snapshot(0, 1, "fit", {}, scores={"x": 1.0}), {})
    Path(tmp_path / "marked" / "hparams.yaml").touch()
    client = Client(LogDirectory(tmp_path))
    assert sorted(run["id"] for run in client.get("runs.json").json["runs"]) == ["by_hand", "marked", "version_0"]
    (run,) = client.get("run.json?run=version_0").json["runs"]
    assert [section["name"] for section in run["sections"]] == ["saliency", "saliency-1", "cue/patch"]
