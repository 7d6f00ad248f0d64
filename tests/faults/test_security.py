"""Nothing is unpickled or evaluated, no secret is written, no name leads out of the directory or becomes markup."""

from __future__ import annotations

import ast
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import saliency_callbacks
from saliency_callbacks import CueAlarm, RandomizationTest, SaliencyMonitor, TokenSaliencyMonitor
from saliency_callbacks.callbacks.cue.actions import describe_alarm
from saliency_callbacks.callbacks.cue.group_accuracy import GroupAccuracy
from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.cue.state import Evaluation
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.report import write_report
from saliency_callbacks.types.tables import as_cell
from tests.faults.runs import KINDS, Scene, run
from tests.trainer.runs import RecordingLogger

_PACKAGE = Path(saliency_callbacks.__file__).parent
_SOURCES = sorted(_PACKAGE.rglob("*.py"))
_FORBIDDEN = {
    "eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "joblib.load",
    "marshal.load", "marshal.loads", "shelve.open", "pickle.load", "pickle.loads", "pickle.Unpickler", "dill.loads",
    "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter",
}  # fmt: skip
_TOKEN = "sk-fake-0123456789abcdef"
_MARKUP = "<img src=x onerror=alert(1)>|**b** [l](javascript:alert(1))`"
_BAD_NAMES = ["../up", "a/../../b", "/etc", "C:\\x", "C:", "a\0b", "..", ".", "", "a b", "<b>"]


def _as_tensorboard_shows(text: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own copy of an HTML parser is old
        from tensorboard.plugin_util import markdown_to_safe_html
    return str(markdown_to_safe_html(text))


def _calls(source: Path) -> list[tuple[str, ast.Call]]:
    nodes = ast.walk(ast.parse(source.read_text()))
    return [(ast.unparse(node.func), node) for node in nodes if isinstance(node, ast.Call)]


@pytest.mark.parametrize("source", _SOURCES, ids=lambda path: str(path.relative_to(_PACKAGE)))
def test_nothing_in_the_package_unpickles_or_evaluates(source: Path) -> None:
    for name, call in _calls(source):
        assert name not in _FORBIDDEN, f"line {call.lineno}"
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name == "torch.load":
            # A switch for checkpoints of one's own, which is off by default.
            assert given["weights_only"] in ("True", "not is_trusted")
        assert given.get("allow_pickle", "False") == "False"
        assert given.get("shell", "False") == "False"


def test_the_report_and_the_readers_unpickle_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(Scene("SaliencyMonitor", tmp_path), None)

    def refuse(*args: Any, **settings: Any) -> None:
        raise AssertionError("something is unpickled")

    for owner, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(owner, name, refuse)
    write_report([tmp_path / "recording" / "0"], tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_of_the_module_or_the_logger_is_written(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(kind, tmp_path)
    monkeypatch.setattr(RecordingLogger, "api_key", _TOKEN, raising=False)
    monkeypatch.setattr(RecordingLogger, "__repr__", lambda self: f"RecordingLogger(api_key={_TOKEN!r})")
    scene.module.save_hyperparameters({"api_key": _TOKEN})
    scene.module.token = _TOKEN
    scene.changes["default_root_dir"] = tmp_path
    found = run(scene, None)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not [path for path in written if _TOKEN.encode() in path.read_bytes()]
    assert not any(_TOKEN in message for message in found.messages)


@pytest.mark.parametrize("name", _BAD_NAMES)
def test_no_name_leads_out_of_the_directory(name: str) -> None:
    for build in (SaliencyMonitor, TokenSaliencyMonitor, RandomizationTest):
        with pytest.raises(ConfigurationError):
            build(namespace=name)
    with pytest.raises(ConfigurationError):
        CueAlarm(PatchCue((0, 0, 2, 2)), 0, namespace=name)
    with pytest.raises(ConfigurationError):
        PatchCue((0, 0, 2, 2), name=name)


def test_a_name_of_a_class_is_no_markup_in_the_texts() -> None:
    groups = GroupAccuracy(torch.ones(1, 2), torch.ones(1, 2))
    evaluation = Evaluation(1, 2, "fit", (1.0,), (1.0,), "effect", 1.0, 1.0, 1.0, alarm=True, fired=True)
    texts = [
        groups.table(lambda index: _MARKUP),
        describe_alarm("tag", as_cell(_MARKUP), evaluation, AlarmRule()),
    ]
    for text in texts:
        page = _as_tensorboard_shows(text)
        assert not re.search(r"<(img|a|strong|script)\b", page), page
        assert "onerror=alert(1)" in page, "shown as it is"
    rows = [line for line in texts[0].splitlines() if line.startswith("| `")]
    assert [row.count("|") for row in rows] == [5]


def test_the_texts_of_an_alarm_hold_the_name_as_code(tmp_path: Path) -> None:
    scene = Scene("CueAlarm", tmp_path)
    scene.callback_changes.update(class_names=[_MARKUP, *"123456789"], patience=1, threshold=-100.0)
    run(scene, None)
    texts = [text for snapshot in scene.sinks[-1].snapshots for text in snapshot.texts.values()]
    assert any("as evidence for class `" in text for text in texts)
    for text in texts:
        assert not re.search(r"<(img|a|script)\b", _as_tensorboard_shows(text))
