"""What the documentation says is so: its names exist, and its complete examples run."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import saliency_callbacks
from saliency_callbacks import CueAlarm, SaliencyMonitor, Snapshot, explain, methods, probe, sinks
from saliency_callbacks.callbacks.runtime.settings import settings_of
from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.methods import BUILT_IN
from saliency_callbacks.types import Sink

_ROOT = Path(__file__).parents[2]
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
_PUBLIC: dict[str, Any] = {
    name: getattr(module, name) for module in (saliency_callbacks, methods, probe, sinks) for name in module.__all__
}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_every_import_in_an_example_works(page: Path) -> None:
    for block in _BLOCK.findall(page.read_text()):
        for module, names in re.findall(r"^from (saliency_callbacks[\w.]*) import (.+)$", block, re.MULTILINE):
            for name in names.split(","):
                assert hasattr(importlib.import_module(module), name.strip()), f"{page.name}: {module}.{name.strip()}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_every_example_is_python(page: Path) -> None:
    for block in _BLOCK.findall(page.read_text()):
        assert compile(block, page.name, "exec").co_filename == page.name


def _calls(page: Path) -> Iterator[ast.Call]:
    """Yield the calls of public names in the examples and in the running text of a page."""
    text = page.read_text()
    inline = [
        code for code in re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text)) if re.match(r"(?:\w+=)?\w+\(.+\)", code)
    ]
    for code in [*_BLOCK.findall(text), *inline]:
        for node in ast.walk(ast.parse(re.sub(r"(?<=\()…, |, …(?=\))", "", code).replace("…", "..."))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _PUBLIC:
                yield node


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_every_call_has_arguments_that_exist(page: Path) -> None:
    for call in _calls(page):
        assert isinstance(call.func, ast.Name)
        signature = inspect.signature(_PUBLIC[call.func.id])
        signature.bind_partial(*call.args, **{one.arg: one.value for one in call.keywords if one.arg is not None})


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_every_configuration_makes_a_monitor(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        written = yaml.safe_load(block)
        (one,) = written["trainer"]["callbacks"] if "trainer" in written else [written]
        arguments = one.get("init_args", {key: value for key, value in one.items() if key != "_target_"})
        given = {name: _made(value) for name, value in arguments.items()}
        assert isinstance(resolve_object("class", one.get("class_path", one.get("_target_")))(**given), SaliencyMonitor)


def _made(value: Any) -> Any:
    """Return an argument as a LightningCLI or Hydra hands it over: a target as an object, settings as a mapping."""
    if not isinstance(value, dict):
        return value
    if "class_path" in value:
        return resolve_object("target", value["class_path"])(**value.get("init_args", {}))
    return {key: one for key, one in value.items() if key != "_target_"}


def _tables(page: str) -> dict[str, list[list[str]]]:
    """Return the rows of the table below each heading."""
    sections = re.split(r"^## ", (_ROOT / "docs" / page).read_text(), flags=re.MULTILINE)[1:]
    rows = {
        section.partition("\n")[0]: [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in re.findall(r"^\|.*\|$", section, re.MULTILINE)
        ][2:]
        for section in sections
    }
    return {heading: table for heading, table in rows.items() if table}


def test_the_settings_are_those_of_the_page() -> None:
    documented = {
        heading.split("`")[1]: {field.strip("`"): default.strip("`") for field, default, _ in rows}
        for heading, rows in _tables("settings.md").items()
    }
    groups = {kind for name in saliency_callbacks.__all__ for kind in getattr(_PUBLIC[name], "kinds", {}).values()}
    assert documented.keys() == {"Cascade", *(kind.__name__ for kind in groups)}
    for name, expected in documented.items():
        assert {one.name: repr(one.default).replace("'", '"') for one in fields(_PUBLIC[name])} == expected
        assert settings_of(_PUBLIC[name], name, None) == _PUBLIC[name]()


_MIGRATIONS = [
    (heading.strip("`"), before.strip("`"), now.strip("`"))
    for heading, rows in _tables("migrating.md").items()
    for before, now in rows
]


@pytest.mark.parametrize(("callback", "before", "now"), _MIGRATIONS, ids=lambda value: value)
def test_an_argument_of_an_earlier_version_is_told_its_place(callback: str, before: str, now: str) -> None:
    callbacks = ["SaliencyMonitor", "CueAlarm", "RandomizationTest"] if callback == "All callbacks" else [callback]
    for name in callbacks:
        with pytest.raises(ConfigurationError, match=re.escape(now)):
            _PUBLIC[name](**{before: None})


def test_the_files_that_contributing_names_exist() -> None:
    text = (_ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|md|toml|yml|yaml)|(?:[\w.]+/)+)`", text)
    assert len(named) > 20
    for path in named:
        assert any((base / path).exists() for base in (_ROOT, _ROOT / "saliency_callbacks")), path


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_method_is_described(name: str) -> None:
    assert f"`{name}`" in (_ROOT / "docs" / "methods.md").read_text()


def _defined(name: str) -> Any:
    """Return a class of the page on extending; the example makes a callback with it."""
    (block,) = [code for code in _BLOCK.findall((_ROOT / "docs/extending.md").read_text()) if f"class {name}" in code]
    # Dataclasses look their module up; an example has none.
    scope: dict[str, Any] = {"__name__": __name__, "CueAlarm": CueAlarm, "SaliencyMonitor": SaliencyMonitor}
    exec(block, scope)
    return scope[name]


def test_the_method_of_the_page_on_extending_runs() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    found = explain(model, torch.rand(2, 3, 2, 2), methods=["gradient", _defined("SquaredGradient")()], target=1)
    torch.testing.assert_close(found["squared_gradient"].values, found["gradient"].values.square())


def test_the_sink_of_the_page_on_extending_writes(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = Snapshot(epoch=3, step=12, stage="fit", attributions={}, scores={"saliency/gradient/gini": 0.5})
    sink: Sink = _defined("PrintScores")()
    sink.write(snapshot, {"saliency/gradient": np.zeros((1, 1, 3), dtype=np.uint8)})
    assert capsys.readouterr().out == "epoch 3 {'saliency/gradient/gini': 0.5} ['saliency/gradient']\n"


def test_the_cue_of_the_page_on_extending_changes_what_it_says() -> None:
    cue, images = _defined("DarkEdge")(), torch.rand(2, 3, 4, 6)
    changed = (cue.insert(images) != images).any(dim=1)
    assert torch.equal(changed, cue.mask(images))
    assert changed[..., :2].all()
    assert not changed[..., 2:].any()
