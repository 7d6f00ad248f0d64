import json

import pytest

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.runs import read_run, short_names


def test_every_archive_of_a_run_is_found_those_with_a_probe_first(tmp_path, write_run, write_alarm):
    write_alarm(tmp_path)
    run = read_run(write_run(tmp_path))
    assert [archive.name for archive in run.archives] == ["saliency", "cue/patch"]
    assert [len(archive.observations) for archive in run.archives] == [4, 4]
    assert run.notes == ()


def test_an_archive_itself_is_a_run(tmp_path, write_run):
    (archive,) = read_run(write_run(tmp_path) / "saliency").archives
    assert (archive.name, len(archive.observations)) == ("saliency", 4)


def test_a_truncated_index_is_left_out_with_a_note(tmp_path, write_run, write_alarm):
    write_alarm(write_run(tmp_path))
    index = tmp_path / "cue" / "patch" / "index.json"
    index.write_bytes(index.read_bytes()[:-9])
    run = read_run(tmp_path)
    assert [archive.name for archive in run.archives] == ["saliency"]
    assert run.notes[0].startswith("cue/patch was left out: ")
    assert "is not JSON" in run.notes[0]


def test_damaged_entries_are_left_out_with_a_note(tmp_path, write_run):
    listed = write_run(tmp_path) / "saliency" / "observations.jsonl"
    entries = [json.loads(line) for line in listed.read_text().splitlines()]
    entries[1]["scores"] = "gone"
    entries[2]["scores"] = {"saliency/gradient/entropy": "high"}
    listed.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    run = read_run(tmp_path)
    assert [entry["epoch"] for entry in run.archives[0].observations] == [0, 3]
    assert run.notes == ("saliency: damaged index entries were left out (2 of 4).",)


@pytest.mark.parametrize("damage", ["torn", "zeros", "a list", "half an entry"])
def test_lines_that_cannot_be_read_cost_no_other_line(tmp_path, write_run, damage):
    listed = write_run(tmp_path) / "saliency" / "observations.jsonl"
    lines = listed.read_bytes().splitlines(keepends=True)
    if damage == "torn":
        lines[3] = lines[3][:70]
    else:
        lines[3] = {"zeros": b"\0" * 90, "a list": b"[1]", "half an entry": b'{"step": 39, "stage": "fit"}'}[
            damage
        ] + b"\n"
    listed.write_bytes(b"".join(lines))
    run = read_run(tmp_path)
    assert [entry["epoch"] for entry in run.archives[0].observations] == [0, 1, 2]
    assert run.notes == ("saliency: damaged index entries were left out (1 of 4).",)


def test_the_index_of_something_else_is_none_of_ours(tmp_path, write_run):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.json").write_text("[1]")
    assert len(read_run(write_run(tmp_path)).archives) == 1


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_directory_without_a_run(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"is not a directory|contains nothing to report") as raised:
        read_run(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_names_are_as_long_as_it_takes_to_tell_runs_apart(tmp_path):
    one, two = tmp_path / "a" / "run" / "version_0", tmp_path / "b" / "run" / "version_0"
    assert short_names([one]) == ["run/version_0"]
    assert short_names([one, two]) == ["a/run/version_0", "b/run/version_0"]
    assert short_names([one, one]) == ["run/version_0", "run/version_0"]
