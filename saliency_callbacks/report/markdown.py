"""The subset of Markdown that texts use → plain data: paragraphs, bold, emphasis, code and tables.

Texts are prose, such as the message of an alarm. Tables are carried as values, see
:class:`~saliency_callbacks.types.Table`, and are not parsed; only runs of version 0.1 have them as Markdown in texts.

Nothing becomes HTML here; the page makes elements of the data, so that any markup in a text stays text.
"""

from __future__ import annotations

import re
from typing import Any

from saliency_callbacks.report.tables import Spans, table_block

__all__ = ["parse_markdown"]

_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|~])")
_SPANS = re.compile(
    r"\\(?P<text>[\\`*_{}\[\]()#+\-.!|~])|\*\*(?P<strong>[^*]+)\*\*|`(?P<code>[^`]+)`|(?<!\w)[*_](?P<em>[^*_\s][^*_]*)[*_](?!\w)"
)
_RULE = re.compile(r"^\|?\s*:?-{3,}:?\s*(\|\s*:?-*:?\s*)*$")


def parse_markdown(text: str) -> list[dict[str, Any]]:
    """Return blocks: a table, see :func:`~saliency_callbacks.report.tables.table_block`, or ``{"paragraph": spans}``.

    Spans are ``[kind, text]`` with ``text``, ``strong``, ``em`` or ``code`` as their kind.
    """
    blocks: list[dict[str, Any]] = []
    lines = text.splitlines()
    while lines:
        if len(lines) > 1 and "|" in lines[0] and _RULE.match(lines[1].strip()):
            head, rows = _cells(lines[0]), []
            lines = lines[2:]
            while lines and "|" in lines[0]:
                rows.append(_cells(lines.pop(0)))
            blocks.append(table_block(head, rows))
        elif lines[0].strip():
            paragraph = [lines.pop(0)]
            while lines and lines[0].strip() and not (len(lines) > 1 and _RULE.match(lines[1].strip())):
                paragraph.append(lines.pop(0))
            blocks.append({"paragraph": _spans(" ".join(line.strip().lstrip("#").strip() for line in paragraph))})
        else:
            lines.pop(0)
    return blocks


def _cells(line: str) -> list[Spans]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [_spans(cell.strip().replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", inner)]


def _spans(text: str) -> Spans:
    spans: Spans = []
    end = 0
    for match in _SPANS.finditer(text):
        _add(spans, "text", text[end : match.start()])
        kind = str(match.lastgroup)
        _add(spans, kind, match[kind] if kind == "code" else _ESCAPED.sub(r"\1", match[kind]))
        end = match.end()
    _add(spans, "text", text[end:])
    return spans


def _add(spans: Spans, kind: str, text: str) -> None:
    """Append a span; text is joined to text before it."""
    if kind == "text" and spans and spans[-1][0] == "text":
        spans[-1][1] += text
    elif text:
        spans.append([kind, text])
