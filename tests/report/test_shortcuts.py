import base64
import io
import shlex

import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.callbacks.discovery.table import COLUMNS
from saliency_callbacks.discovery.words import HONEST_WORDS
from saliency_callbacks.report import write_report
from saliency_callbacks.report.facts import facts_of
from saliency_callbacks.report.headlines import headlines_of
from saliency_callbacks.report.pictures.stored_pictures import embedded_picture
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.report.shortcuts import shortcuts_of
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Cell, Snapshot, Table
from tests.report.shortcuts import KEYS, write_discovery
from tests.report.test_document import payload_of


def test_the_newest_list_with_its_numbers(tmp_path):
    ((section,), notes) = shortcuts_of(read_run(write_discovery(tmp_path)), embedded_picture)
    assert notes == []
    assert (section["tag"], section["moment"]) == ("shortcuts/list", "epoch 1")
    first, second = section["items"]
    assert first["title"] == "Class 4: the same 32 pixels"
    assert (first["used"], second["used"]) == (True, False)
    assert dict(first["facts"]) == {
        "kind": "copies",
        "share in the class": "52%",
        "elsewhere": "at most 2% of any other class (3)",
        "counts": "31 of 60, 1 of 60",
        "p-value": "3e-12",
        "effect": "1.31 sd (lower bound 1.10)",
        "control": "-0.12",
        "first seen": "epoch 2",
    }


def test_the_honest_words_are_said_once_whoever_wrote_the_list(tmp_path):
    ((own,), _) = shortcuts_of(read_run(write_discovery(tmp_path / "own")), embedded_picture)
    assert (own["note"] + own["words"]).count(HONEST_WORDS) == 1
    table = Table(COLUMNS, (), note="The search had too little time.")
    DiskSink(tmp_path / "other").write(Snapshot(0, 9, "fit", {}, tables={"shortcuts/list": table}), {})
    ((other,), _) = shortcuts_of(read_run(tmp_path / "other"), embedded_picture)
    assert (other["note"], other["words"]) == ("The search had too little time.", HONEST_WORDS)


def test_the_picture_is_that_of_the_suspicion(tmp_path):
    run = write_discovery(tmp_path)
    ((section,), _) = shortcuts_of(read_run(run), embedded_picture)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(section["items"][0]["picture"]))).convert("RGB"))
    stored = np.asarray(Image.open(run / "shortcuts/pictures/shortcuts__copies-4-17/000000019.png"))
    assert shown.shape == stored.shape
    assert np.abs(shown.astype(int) - stored).mean() < 6


def test_a_torn_picture_leaves_the_numbers(tmp_path):
    run = write_discovery(tmp_path)
    (run / "shortcuts/pictures/shortcuts__copies-4-17/000000019.png").write_bytes(b"torn")
    ((section,), notes) = shortcuts_of(read_run(run), embedded_picture)
    assert notes == ["The image of copies-4-17 cannot be read."]
    assert section["items"][0]["picture"] is None
    assert section["items"][1]["picture"] is not None


def test_the_command_and_the_snippet_survive_any_name(tmp_path):
    run = write_discovery(tmp_path / "a 'run'")
    ((section,), _) = shortcuts_of(read_run(run), embedded_picture)
    item = section["items"][0]
    assert shlex.split(item["dismiss"]) == ["saliency-callbacks", "dismiss", str(run), "copies-4-17"]
    compile(item["cue"], "snippet", "exec")
    assert "one.name == 'copies-4-17'" in item["cue"]


def test_pictures_and_list_are_shown_once(tmp_path):
    (run,) = payload_of(write_report([write_discovery(tmp_path)]))["runs"]
    assert [picture["tag"] for picture in run["pictures"]] == ["shortcuts/other"]
    assert run["documents"] == []
    assert len(run["shortcuts"][0]["items"]) == 2
    assert not any("suspicions" in name for name, _ in facts_of(read_run(tmp_path).archives[0])["rows"])


def headlines(directory):
    return {one["title"]: one for one in headlines_of(read_run(directory).archives, [])}


def test_the_headline_says_what_is_used(tmp_path):
    found = headlines(write_discovery(tmp_path))["The model uses a suspected shortcut"]
    assert (found["level"], found["step"]) == ("caution", 19)
    assert found["text"] == (
        "The same 32 pixels: in 52% of class 4 and in at most 2% of any other class (3); inserted into other classes, "
        "it shifts them towards 4 by 1.31 standard deviations (control -0.12). Look at the pictures: only a person "
        "can tell a shortcut from the object itself."
    )


@pytest.mark.parametrize(
    ("counts", "words"),
    [("31 of 60, 0 of 60", "no other class"), ("31 of 600, 10 of 600", "at most 2% of any other class (3)")],
)
def test_what_no_other_class_has_is_said_by_the_count(tmp_path, counts, words):
    run = write_discovery(tmp_path)
    journal = run / "shortcuts/observations.jsonl"
    journal.write_text(journal.read_text().replace("31 of 60, 1 of 60", counts))
    text = headlines(run)["The model uses a suspected shortcut"]["text"]
    assert f"in 52% of class 4 and in {words}; inserted into other" in text


def test_the_headline_of_what_is_not_used_and_of_nothing(tmp_path):
    (found,) = headlines(write_discovery(tmp_path / "a", found=("copies-x-3",))).values()
    assert (found["level"], found["title"]) == ("plain", "1 cue suspected in the data, not used")
    (found,) = headlines(write_discovery(tmp_path / "b", found=())).values()
    assert (found["level"], found["title"]) == ("plain", "No shortcut was found")
    assert "does not rule out a shortcut" in found["text"]


def test_the_headline_of_what_may_be_the_nature_of_a_class(tmp_path):
    (found,) = headlines(write_discovery(tmp_path, found=KEYS[:1], is_used=False, is_conclusive=False)).values()
    assert (found["level"], found["title"]) == (
        "plain",
        "1 cue suspected in the data, unclear whether the model uses it",
    )


def test_other_tables_called_list_are_no_shortcuts(tmp_path):
    DiskSink(tmp_path).write(Snapshot(0, 9, "fit", {}, tables={"x/list": Table(("a",), ((Cell("1"),),))}), {})
    assert shortcuts_of(read_run(tmp_path), embedded_picture) == ([], [])


def test_a_run_without_a_discovery_has_no_section(tmp_path, write_alarm):
    assert payload_of(write_report([write_alarm(tmp_path)]))["runs"][0]["shortcuts"] == []
