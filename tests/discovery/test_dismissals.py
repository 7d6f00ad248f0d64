"""What a person dismissed is kept in a file, once, and found by the runs beside it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from saliency_callbacks.discovery.dismissals import FILE, Dismissal, dismiss, is_dismissed, load
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning


def _dismissal(**changes: Any) -> Dismissal:
    given = {"class_index": 4, "kind": "copies", "bearers": ("1", "2", "3"), "what": "the same pixels"}
    return Dismissal(**{**given, "fingerprint": "5f3a", **changes})


def _finding(**changes: Any) -> Any:
    return SimpleNamespace(**{"class_index": 4, "kind": "copies", "bearers": ("1", "2", "9"), "what": "a", **changes})


def test_the_file_can_be_read_by_anybody(tmp_path: Path) -> None:
    dismiss(tmp_path / "run" / "shortcuts", _dismissal())
    dismiss(tmp_path / "run" / "shortcuts", _dismissal(what="a mark"))
    dismiss(tmp_path / "run" / "shortcuts", _dismissal())
    content = json.loads((tmp_path / "run" / "shortcuts" / FILE).read_text())
    assert [one["what"] for one in content["dismissed"]] == ["the same pixels", "a mark"]
    assert content["dismissed"][0] == {
        "class_index": 4,
        "kind": "copies",
        "bearers": ["1", "2", "3"],
        "what": "the same pixels",
        "fingerprint": "5f3a",
    }
    assert [path.name for path in (tmp_path / "run" / "shortcuts").iterdir()] == [FILE], "nothing else is left"


def test_runs_beside_it_honour_it_on_the_same_data(tmp_path: Path) -> None:
    dismiss(tmp_path / "version_0" / "shortcuts", _dismissal())
    dismiss(tmp_path / "version_1" / "shortcuts-1", _dismissal(what="a mark"))
    dismiss(tmp_path / "version_1" / "shortcuts", _dismissal(what="elsewhere", fingerprint="other"))
    dismiss(tmp_path / "version_1" / "words", _dismissal(what="of another callback"))
    found = load(tmp_path / "version_7" / "shortcuts", "5f3a")
    assert sorted(one.what for one in found) == ["a mark", "the same pixels"]
    assert len(load(tmp_path / "version_7" / "shortcuts")) == 3


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (_finding(), True),
        (_finding(bearers=("1",)), True),
        (_finding(bearers=("1", "7", "8", "9")), False),
        (_finding(bearers=()), False),
        (_finding(kind="places"), False),
        (_finding(class_index=3), False),
    ],
)
def test_a_dismissal_covers_the_same_cue(finding: Any, expected: bool) -> None:
    assert is_dismissed(finding, [_dismissal()]) is expected
    assert not is_dismissed(finding, [])


def test_it_is_made_of_a_suspicion() -> None:
    assert Dismissal.of(_finding(bearers=[1, 2]), "ab") == _dismissal(bearers=("1", "2"), what="a", fingerprint="ab")


@pytest.mark.parametrize("content", ["{", "[]", '{"dismissed": [{"kind": "copies"}]}', '{"dismissed": 3}'])
def test_a_file_that_cannot_be_read_is_said_and_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run" / "shortcuts" / FILE
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.warns(SaliencyWarning, match="dismissed.json cannot be read"):
        assert load(path.parent) == ()
    with pytest.raises(ConfigurationError, match="Repair or remove it"):
        dismiss(path.parent, _dismissal())
    assert path.read_text() == content


def test_no_directory_is_no_dismissal(tmp_path: Path) -> None:
    assert load(tmp_path / "nowhere" / "shortcuts") == ()
