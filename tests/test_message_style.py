"""What a user reads is written in one style, as far as a machine can tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import saliency_callbacks

_SAID_BY = re.compile(r"Error$|Warning$|^(warn|tell|tell_once|rank_zero_warn|rank_zero_info)$")
_STYLE = {
    r"\b(was|were) expected\b": "expected …",
    r"\bthe training goes on\b": "training continues",
    r"\balarm (goes|went) on\b": "the alarm fires",
    r"\bput into\b": "inserted into",
    r"\bdata set\b": "dataset",
    r"\b(class|index|map|mask|name|number|row|score|values?) a (channel|label|map|row|sample|text|token)\b": "… per …",
    r"\bgrey\b": "gray",
    r"\bcolor map\b": "colormap",
    r"\.\.\.": "…",
    r"  ": "one space",
}
"""What is not written → what is written instead."""


def _text(node: ast.expr) -> str:
    """Return a literal as it is read, with ``0`` for whatever is filled in; an empty text for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "0" for part in node.values)
    return ""


def _messages(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each message that is written where it is raised or said."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if _SAID_BY.search(name):
                yield from ((one.lineno, text) for one in node.args if (text := _text(one)).count(" ") > 2)


@pytest.fixture(scope="module")
def messages() -> dict[str, str]:
    root = Path(saliency_callbacks.__file__).parent
    return {
        f"{path.relative_to(root)}:{line}": text
        for path in root.rglob("*.py")
        for line, text in _messages(path.read_text())
    }


@pytest.mark.parametrize("pattern", _STYLE)
def test_a_message_says_it_in_one_way(messages: dict[str, str], pattern: str) -> None:
    found = {where: text for where, text in messages.items() if re.search(pattern, text)}
    assert not found, f"write: {_STYLE[pattern]}"


def test_a_message_can_be_quoted_by_another(messages: dict[str, str]) -> None:
    assert not {where: text for where, text in messages.items() if re.search(r"(?<!\.)[.,;:]$", text)}


def test_messages_are_found(messages: dict[str, str]) -> None:
    assert len(messages) > 300
    (found,) = _messages('raise InputError(f"got {count} maps ...; one was expected.")')
    assert found == (1, "got 0 maps ...; one was expected.")
