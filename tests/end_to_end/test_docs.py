"""What the documentation says is so: its names exist, and its complete examples run."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import torch

from saliency_callbacks import explain
from saliency_callbacks.methods import BUILT_IN

_ROOT = Path(__file__).parents[2]
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


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


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_method_is_described(name: str) -> None:
    assert f"`{name}`" in (_ROOT / "docs" / "methods.md").read_text()


def test_the_method_of_the_page_on_extending_runs() -> None:
    (block,) = [code for code in _BLOCK.findall((_ROOT / "docs/extending.md").read_text()) if "SquaredGradient" in code]
    # Dataclasses look their module up; an example has none.
    definitions = block.partition("SaliencyMonitor(")[0]
    scope: dict[str, object] = {"__name__": __name__}
    exec(definitions, scope)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    found = explain(model, torch.rand(2, 3, 2, 2), methods=["gradient", scope["SquaredGradient"]()], target=1)
    torch.testing.assert_close(found["squared_gradient"].values, found["gradient"].values.square())
