"""The newest text and table of every tag, and one table of all methods, as blocks of plain data that the page shows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from saliency_callbacks.report.charts import method_names, split_tag
from saliency_callbacks.report.markdown import parse_markdown
from saliency_callbacks.report.monitors import moment_of
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.report.tables import table_block
from saliency_callbacks.sinks.disk.archive import read_table
from saliency_callbacks.sinks.disk.entries import ObservationEntry
from saliency_callbacks.types.tables import Cell, CellStyle, Table

__all__ = ["documents_of"]

_OF_RANDOMIZATION = ("similarity", "floor")
_OF_FAITHFULNESS = ("deletion_gain", "insertion_gain", "stability")
_JUDGED = (*_OF_RANDOMIZATION, *_OF_FAITHFULNESS)
_CAUTION = (
    "Similarity and floor near 0 are good: above a floor of 0.3, a map shows the input, not what the model learned, "
    "however high its gains are. A gain of 0 is no better than the same map elsewhere. None of this shows that a map is right, "
    "and none of it ranks methods."
)
_ELEMENTS: dict[CellStyle, str] = {"plain": "text", "name": "code", "emphasis": "em"}


def documents_of(archives: Sequence[Archive], shown_elsewhere: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the table of methods and the newest text or table of every tag as ``{"tag", "moment", "blocks"}``.

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
    shown = [document for tag, document in newest.items() if tag not in shown_elsewhere]
    return [*_judged_methods(archives), *shown]


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


def _judged_methods(archives: Sequence[Archive]) -> list[dict[str, Any]]:
    """Return one table of how far each method can be trusted, where the run has measured how faithful its maps are."""
    found: dict[str, dict[str, float]] = {}
    moments: list[str] = []
    for entry in (archive.observations[-1] for archive in archives if archive.observations):
        methods = method_names(entry)
        for tag, value in entry["scores"].items():
            score, method = split_tag(tag, methods)
            if score in _JUDGED and method in methods:
                found.setdefault(method, {})[score] = math.nan if value is None else value
                moments += [moment_of(entry)] if score in _OF_FAITHFULNESS else []
    if not moments:
        return []
    rows = [
        (Cell(method, "name"), *(Cell(_told(scores.get(score, math.nan))) for score in _JUDGED))
        for method, scores in found.items()
    ]
    columns = ("method", *(score.replace("_", " ") for score in _JUDGED))
    return [{"tag": "methods", "moment": moments[-1], "blocks": _blocks(Table(columns, tuple(rows), note=_CAUTION))}]


def _told(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text
