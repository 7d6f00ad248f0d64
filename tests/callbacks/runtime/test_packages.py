"""Which files know that Lightning exists."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import saliency_callbacks

_PACKAGE = Path(saliency_callbacks.__file__).parent
_LIGHTNING = {"lightning", "pytorch_lightning"}
# The seam, and the command line, which is built on LightningCLI.
_ALLOWED = {"callbacks/runtime/packages.py", "replay/configuration.py"}


def _imported(node: ast.AST) -> list[str]:
    """Return the names of the modules that a statement or a call imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""] if not node.level else []
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        return [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return []


def _lightning_of(source: str) -> list[str]:
    found = [name for node in ast.walk(ast.parse(source)) for name in _imported(node)]
    return [name for name in found if name.partition(".")[0] in _LIGHTNING]


@pytest.mark.parametrize(
    "source",
    [
        "import lightning as L",
        "import os, pytorch_lightning.loggers",
        "from lightning.pytorch import Trainer",
        "def late():\n    from pytorch_lightning import Trainer",
        "import_module('lightning.pytorch')",
        "importlib.import_module(f'lightning.{name}')",
        "__import__('pytorch_lightning')",
    ],
)
def test_an_import_of_lightning_is_seen(source):
    assert _lightning_of(source)


@pytest.mark.parametrize(
    "source", ["import lightning_like", "from .lightning import x", "'lightning'", "import_module(name)"]
)
def test_anything_else_is_none(source):
    assert not _lightning_of(source)


def test_only_the_seam_imports_lightning():
    files = {path.relative_to(_PACKAGE).as_posix(): path.read_text() for path in _PACKAGE.rglob("*.py")}
    importing = {name for name, source in files.items() if _lightning_of(source)}
    assert "callbacks/runtime/packages.py" in importing
    assert importing <= _ALLOWED
