"""The shape of the package: small rooms, short files, and an example with everything that is public."""

from __future__ import annotations

import inspect
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import saliency_callbacks

_ROOT = Path(saliency_callbacks.__file__).parent
_FILES = sorted(_ROOT.rglob("*.py"))
_NAMESPACES = [
    "",
    ".methods",
    ".probe",
    ".scores",
    ".sinks",
    ".targets",
    ".types",
    ".randomization",
    ".replay",
    ".demo",
]


def _public_classes() -> list[type]:
    found = {}
    for name in _NAMESPACES:
        namespace = import_module(f"saliency_callbacks{name}")
        values = [getattr(namespace, public) for public in namespace.__all__]
        found.update({value: None for value in values if inspect.isclass(value) and value is not Any})
    return list(found)


def test_no_folder_holds_more_than_sixteen_modules() -> None:
    modules = Counter(path.parent.relative_to(_ROOT).as_posix() for path in _FILES if path.name != "__init__.py")
    assert {folder: count for folder, count in modules.items() if count > 16} == {}


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.relative_to(_ROOT).as_posix())
def test_no_file_is_longer_than_three_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("kind", _public_classes(), ids=lambda kind: kind.__name__)
def test_a_public_class_has_an_example(kind: type) -> None:
    assert ">>>" in inspect.getdoc(kind), "run with the other docstring examples"
