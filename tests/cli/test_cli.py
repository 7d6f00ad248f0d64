"""What the command line prints, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import saliency_callbacks
from saliency_callbacks import methods
from saliency_callbacks.cli import main
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.methods import BUILT_IN

COMMANDS = ("demo", "dismiss", "methods", "replay", "report", "shortcuts", "view")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Stand in for the report; keeps what was asked for."""
    calls: list[tuple[Any, ...]] = []

    def write_report(runs: Any, output: Any = None, *, max_megabytes: float = 15) -> Path:
        calls.append((list(runs), output, max_megabytes))
        path = Path(output or Path(runs[0], "report.html"))
        if max_megabytes < 1:
            raise ConfigurationError("max_megabytes=0.5 is\ntoo small; expected at least 1")
        path.write_bytes(b"x" * 200_000)
        return path

    module = ModuleType("saliency_callbacks.report")
    vars(module)["write_report"] = write_report
    monkeypatch.setitem(sys.modules, "saliency_callbacks.report", module)
    return calls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no command was given; expected one of demo, dismiss, methods, replay, report, shortcuts"),
        (["repot"], "'repot' is unknown; did you mean 'report'"),
        (["--versio"], "nrecognized arguments: --versio"),
        (["demo", "--epochs", "many"], "Got value: many"),
        (["demo", "--epochs", "0"], "epochs=0; expected a whole number of at least 1"),
        (["methods", "grad_camm"], "'grad_camm' is unknown; did you mean 'grad_cam'"),
        (["report"], "run"),
        (["report", "no such run"], "run='no such run' does not exist"),
        (["report", ".", "--max-megabytes", "x"], "Got value: x"),
        (["report", ".", "--max-megabytes", "0.5"], "is too small; expected at least 1"),
        (["replay", "--config", "c.yaml"], "checkpoints"),
        (["dismiss", "."], "key"),
        (["replay", "--config", "c.yaml", "--checkpoints", "nowhere"], "checkpoints='nowhere' does not exist"),
        (["replay", "--config", "c.yaml", "--checkpoints", "."], "has no *.ckpt file"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("written")
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("saliency-callbacks: error: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_says_what_it_does_and_gives_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--help"])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert f"saliency-callbacks {' '.join(arguments)}" in printed.partition("example")[2]


def test_the_version_as_a_module_and_without_importing_torch() -> None:
    code = (
        "import runpy, sys; sys.argv = ['x', '--version']\n"
        "try: runpy.run_module('saliency_callbacks', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["saliency-callbacks", saliency_callbacks.__version__, "0", "False"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["methods"], ["methods", "grad_cam", "--json"], ["methods", "--help"], ["demo", "--help"]]
)
def test_what_needs_no_model_needs_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom saliency_callbacks.cli import main\n"
        f"try: end = main({arguments})\nexcept SystemExit as exit_: end = exit_.code\n"
        "sys.exit(end or sorted(sys.modules.keys() & {'torch', 'lightning', 'numpy'}) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_package_alone_imports_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import saliency_callbacks\n"
        "new = {name.partition('.')[0] for name in sys.modules.keys() - before}\n"
        "sys.exit(sorted(new - set(sys.stdlib_module_names) - {'saliency_callbacks'}) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_methods_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    *table, empty, others = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in table] == list(BUILT_IN)
    assert not empty
    adapters = set(re.findall(r"\w+Method", others))
    assert adapters == {name for name in methods.__all__ if name.endswith("Method")}
    assert main(["methods", "guided_backprop", "--json"]) == 0
    (fact,) = json.loads(capsys.readouterr().out)
    assert (fact["name"], fact["passes"], fact["needs"]) == ("guided_backprop", 1, ["ReLUs"])
    assert fact["sanity"]["status"] == "fails"


def test_a_report_of_two_runs(
    written: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runs = [tmp_path / "first run", tmp_path / "second"]
    for run in runs:
        run.mkdir()
    output = str(tmp_path / "both runs.html")
    assert main(["report", *map(str, runs), "-o", output, "--max-megabytes", "3"]) == 0
    assert written == [(runs, output, 3.0)]
    assert capsys.readouterr().out == f"{output} (0.2 MB)\n"


@pytest.mark.parametrize("options", [[], ["--clean"]], ids=str)
def test_the_demo_ends_with_a_report(
    options: list[str],
    written: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    class Result:
        lines = ("a table",)
        directory = tmp_path

    def run_demo(directory: str, *, epochs: int, is_patched: bool) -> type[Result]:
        assert (directory, epochs, is_patched) == ("here", 3, not options)
        return Result

    module = ModuleType("saliency_callbacks.demo")
    vars(module)["run_demo"] = run_demo
    monkeypatch.setitem(sys.modules, "saliency_callbacks.demo", module)
    assert main(["demo", "--epochs", "3", "--directory", "here", *options]) == 0
    printed = capsys.readouterr().out
    assert "a table" in printed
    assert str(tmp_path / "report.html") in printed
    assert written == [([tmp_path], None, 15)]


def test_the_demo_without_scikit_image(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    assert main(["demo", "--directory", str(tmp_path)]) == 2
    assert "pip install 'saliency-callbacks[examples]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
