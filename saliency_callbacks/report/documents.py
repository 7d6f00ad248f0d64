"""The newest text and table of every tag, as blocks of plain data that the page shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from saliency_callbacks.report.markdown import parse_markdown
from saliency_callbacks.report.monitors import moment_of
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.report.tables import table_block
from saliency_callbacks.sinks.disk.archive import read_table
from saliency_callbacks.sinks.disk.entries import ObservationEntry
from saliency_callbacks.types.tables import CellStyle, Table

__all__ = ["documents_of"]

_ELEMENTS: dict[CellStyle, str] = {"plain": "text", "name": "code", "emphasis": "em"}


def documents_of(archives: Sequence[Archive], shown_elsewhere: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the newest text or table of every tag as ``{"tag", "moment", "blocks"}``.

    Alerts are left out, which are headlines already, and so are texts with marked words: the page shows every word of
    them in color.

    Args:
        archives: What the run left.
        shown_elsewhere: Tags that are left out, too.
    """
    newest: dict[str, dict[str, Any]] = {}
    for archive in archives:
        is_text = archive.probe is not None and archive.probe["tokens"] is not None
        for entry in archive.observations:
            for tag, blocks in _documents(entry, is_text=is_text):
                newest[tag] = {"tag": tag, "moment": moment_of(entry), "blocks": blocks}
    return [document for tag, document in newest.items() if tag not in shown_elsewhere]


def _documents(entry: ObservationEntry, *, is_text: bool) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for tag, text in entry["texts"].items():
        if tag not in entry["alerts"] and not (is_text and tag.rpartition("/")[2] in entry["methods"]):
            yield tag, parse_markdown(text)
    for tag, table in entry.get("tables", {}).items():
        yield tag, _blocks(read_table(table))


def _blocks(table: Table) -> list[dict[str, Any]]:
    head = [[["text", column]] for column in table.columns]
    rows = [[[[_ELEMENTS[cell.style], cell.text]] for cell in row] for row in table.rows]
    note = [] if table.note is None else [{"paragraph": [["text", table.note]]}]
    return [table_block(head, rows), *note]
