"""A new thing of each kind is added to a copy of the package as ``CONTRIBUTING.md`` says, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.contributions import CONTRIBUTIONS

ROOT = Path(__file__).parents[2]
COPIED = ("saliency_callbacks", "tests", "benchmarks", "docs", "README.md", "pyproject.toml")
MOST = 4

# Tests that hold what is registered against lists: the documented files are enough for them, too.
KEPT = (
    "tests/contracts/test_method.py",
    "tests/contracts/test_score.py",
    "tests/cues/test_basic.py",
    "tests/end_to_end/test_docs.py::test_every_method_is_described",
    "tests/functional/test_public_names.py",
    "tests/methods/test_catalog.py::test_every_method_was_measured",
    "tests/methods/test_registry.py",
    "tests/scores/test_similarities.py",
    "tests/sinks/test_contract.py",
    "tests/test_public_api.py::test_all_is_sorted_and_importable",
    "tests/trainer/test_non_interference.py::test_training_is_bit_identical",
)
ABOUT = (
    "peak_cam or concentration or bray_curtis or NotebookSink or FrameCue or (_weights and sgd) "
    "or every or public or names or sorted"
)


def documented() -> dict[str, list[str]]:
    """Return the files to open, by kind: paths in the repository; a directory, with a slash, for new files in it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, text = text.partition("## Where something new goes")
    sections = re.findall(r"^\*\*An? (\w+)[^\n]*\n+((?:\d+\. .*\n(?: +.*\n)*)+)", text, flags=re.MULTILINE)
    return {
        kind: [_in_repository(path) for path in re.findall(r"^\d+\. `([^`]+)`", items, flags=re.MULTILINE)]
        for kind, items in sections
    }


def _in_repository(path: str) -> str:
    inside = f"saliency_callbacks/{path}"
    return inside if (ROOT / inside).exists() else path


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def contribute(root: Path, kind: str) -> set[str]:
    """Edit the files of one kind, and return those that differ afterwards."""
    earlier = contents(root)
    for name, edits in CONTRIBUTIONS[kind].items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for edit in edits:
            text = edit(text)
        path.write_text(text, encoding="utf-8")
    now = contents(root)
    return {name for name in now if now[name] != earlier.get(name)}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture(scope="module")
def changed(copy: Path) -> dict[str, set[str]]:
    """Everything is added to the copy; which files differ, by kind."""
    return {kind: contribute(copy, kind) for kind in CONTRIBUTIONS}


@pytest.fixture(scope="module")
def used(copy: Path, changed: dict[str, set[str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("run")
    done = in_copy(copy, "-m", "tests.end_to_end.use_contributions", str(directory))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def in_copy(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )


def test_there_is_a_section_for_each_kind() -> None:
    assert set(documented()) == set(CONTRIBUTIONS)


@pytest.mark.parametrize("kind", CONTRIBUTIONS)
def test_few_files_are_opened(kind: str) -> None:
    assert 1 <= len(documented()[kind]) <= MOST, documented()[kind]


@pytest.mark.parametrize("kind", CONTRIBUTIONS)
def test_exactly_the_documented_files_differ(changed: dict[str, set[str]], kind: str) -> None:
    named = documented()[kind]
    homes = {file: [name for name in named if _is_in(file, name)] for file in changed[kind]}
    assert all(len(found) == 1 for found in homes.values()), homes
    assert {name for found in homes.values() for name in found} == set(named)


def _is_in(file: str, name: str) -> bool:
    """Return whether a file is the one that is named, or a new one in the directory that is."""
    return file == name or (name.endswith("/") and file.startswith(name) and not (ROOT / file).exists())


def test_the_copy_is_used(copy: Path, used: dict[str, Any]) -> None:
    assert Path(used["package"]).is_relative_to(copy)


def test_a_class_activation_map_is_known_by_its_name(used: dict[str, Any]) -> None:
    assert used["shape"] == [2, 8, 8]
    assert used["is_the_same"]
    assert "peak_cam" in used["methods"]


def test_a_score_is_logged_and_charted(used: dict[str, Any]) -> None:
    for method in ("gradient", "peak_cam"):
        assert 0 < used["logged"][f"saliency/{method}/largest_share"] <= 1
    assert used["has_chart"]


def test_a_similarity_is_known_by_its_name(used: dict[str, Any]) -> None:
    assert -1 <= used["logged"]["randomization/peak_cam/bray_curtis"] <= 1
    assert "randomization/peak_cam/bray_curtis_floor" in used["logged"]


def test_a_sink_is_found_for_a_logger_of_that_class(used: dict[str, Any]) -> None:
    pages = [(moment, tags) for moment, tags in used["pages"] if "saliency/peak_cam" in tags]
    assert [moment for moment, _ in pages] == ["start", "epoch 0"]


def test_a_cue_is_put_into_a_probe(used: dict[str, Any]) -> None:
    assert {"cue/frame/effect", "cue/frame/lower_bound", "cue/frame/alarm"} <= used["logged"].keys()


def test_a_callback_observes_and_writes(used: dict[str, Any]) -> None:
    assert [stage for stage, _ in used["written"]] == ["initial", "fit"]
    assert used["written"][0][1] != used["written"][1][1]
    assert used["logged"]["weights/norm"] == pytest.approx(used["written"][1][1])


def test_what_is_registered_is_tested(copy: Path, changed: dict[str, set[str]]) -> None:
    """Nothing else has to be edited for the tests that go through what is registered."""
    done = in_copy(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", ABOUT, *KEPT)
    assert done.returncode == 0, done.stdout[-3000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) > 50
