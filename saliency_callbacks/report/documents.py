"""The newest text and table of every tag, and one table of all methods, as blocks of plain data that the page shows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from saliency_callbacks.report.charts import method_names, split_tag
from saliency_callbacks.report.markdown import parse_markdown
from saliency_callbacks.report.monitors import moment_of
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.report.tables import table_block
from saliency_callbacks.sinks.disk.archive import read_table
from saliency_callbacks.sinks.disk.entries import ObservationEntry
from saliency_callbacks.types.tables import Cell, CellStyle, Table, as_interval

__all__ = ["documents_of"]

_TITLE = "How far each method can be trusted"
_TITLE_OF_COSTS = "What methods of other libraries cost"
_COSTS = ("forwards", "backwards")
_OF_COSTS = (
    "Forward and backward passes per sample, counted for methods that run the model themselves; the others share "
    "passes."
)
_OF_RANDOMIZATION = ("similarity", "floor")
_GAINS = ("deletion_gain", "insertion_gain")
_OF_FAITHFULNESS = (*_GAINS, "stability")
_SUMMARY = "summary"
_OF_UNDEFINED = "Undefined is the share of the samples whose map has no order, or whose score hardly changes."
_CAUTION = (
    "Similarity and floor near 0 are good: above a floor of 0.3, a map shows the input, not what the model learned, "
    "however high its gains are. A gain of 0 is no better than the same map elsewhere. None of this shows that a map "
    "is right, and none of it ranks methods."
)
_ELEMENTS: dict[CellStyle, str] = {"plain": "text", "name": "code", "emphasis": "em"}


def documents_of(archives: Sequence[Archive], shown_elsewhere: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the tables of methods and the newest text or table of every tag as ``{"tag", "moment", "blocks"}``.

    Those of methods have a ``title``, too, which is shown in place of the tag.

    Alerts are left out, which are headlines already, and so are texts with marked words: the page shows every word of
    them in color. Summaries of tests are left out whose methods are in the table of methods.

    Args:
        archives: What the run left.
        shown_elsewhere: Tags that are left out, too.
    """
    judged = _judged_methods(archives)
    newest: dict[str, dict[str, Any]] = {}
    for archive in archives:
        is_text = archive.probe is not None and archive.probe["tokens"] is not None
        for entry in archive.observations:
            for tag, blocks in _documents(entry, is_text=is_text):
                if not (archive.name in judged and tag.rpartition("/")[2] == _SUMMARY):
                    newest[tag] = {"tag": tag, "moment": moment_of(entry), "blocks": blocks}
    shown = [document for tag, document in newest.items() if tag not in shown_elsewhere]
    return [*(judged.values() or _costly_methods(archives)), *shown]


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


def _judged_methods(archives: Sequence[Archive]) -> dict[str, dict[str, Any]]:
    """Return a table for each test of how faithful maps are, beside the randomization test if there is exactly one.

    Each is found under the name of its test.
    """
    last = {archive.name: archive.observations[-1] for archive in archives if archive.observations}
    found = {name: _by_method(entry) for name, entry in last.items()}
    tests = [name for name, scores in found.items() if _has_any(scores, _GAINS)]
    # Which of several belongs to which test is not known.
    randomized = [name for name, scores in found.items() if _has_any(scores, _OF_RANDOMIZATION)]
    beside = randomized[0] if len(randomized) == 1 else None
    documents = {}
    for name in tests:
        others = {} if beside is None else found[beside]
        verdicts = {} if beside is None else last[beside]["metadata"].get("verdicts", {})
        table = _with_undefined(_judgement(found[name], others, verdicts, beside), found[name])
        table = _with_costs(table, _costs(archives, name))
        title = f"{_TITLE}: {name}" if len(tests) > 1 else _TITLE
        moment = moment_of(last[name])
        documents[name] = {"tag": f"methods/{name}", "title": title, "moment": moment, "blocks": _blocks(table)}
    return documents


def _by_method(entry: ObservationEntry) -> dict[str, dict[str, float]]:
    methods = method_names(entry)
    found: dict[str, dict[str, float]] = {}
    for tag, value in entry["scores"].items():
        score, method = split_tag(tag, methods)
        if method in methods:
            found.setdefault(method, {})[score] = math.nan if value is None else value
    return found


def _has_any(scores: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> bool:
    return any(name in of_method for of_method in scores.values() for name in names)


def _judgement(
    scores: Mapping[str, Mapping[str, float]],
    others: Mapping[str, Mapping[str, float]],
    verdicts: Mapping[str, str],
    beside: str | None,
) -> Table:
    """Return one row a method, with what the test ``beside`` found of it where there is one."""
    rows = []
    for method, mine in scores.items():
        cells = [Cell(_told(mine, score)) for score in _OF_FAITHFULNESS]
        if beside is not None:
            told = [Cell(_told(others.get(method, {}), score)) for score in _OF_RANDOMIZATION]
            cells = [*told, Cell(verdicts.get(method, "not tested")), *cells]
        rows.append((Cell(method, "name"), *cells))
    columns = (*_OF_RANDOMIZATION, "verdict") if beside is not None else ()
    columns = ("method", *columns, *(score.replace("_", " ") for score in _OF_FAITHFULNESS))
    source = "" if beside is None else f"Similarity, floor and verdict are of the test {beside}. "
    return Table(columns, tuple(rows), note=f"With 95% intervals over the samples. {source}{_CAUTION}")


def _with_undefined(table: Table, scores: Mapping[str, Mapping[str, float]]) -> Table:
    """Return a table of methods with the share of samples without a gain, at its end; as it is where all have one."""
    shares = [scores[method.text].get("undefined", math.nan) for method, *_ in table.rows]
    if not any(share > 0 for share in shares):
        return table
    rows = tuple((*row, Cell(_as_share(share))) for row, share in zip(table.rows, shares, strict=True))
    return Table((*table.columns, "undefined"), rows, note=" ".join(filter(None, [table.note, _OF_UNDEFINED])))


def _as_share(share: float) -> str:
    return "nan" if math.isnan(share) else f"{100 * share:.3g}%"


def _costs(archives: Sequence[Archive], own: str | None = None) -> dict[str, Mapping[str, float]]:
    """Return method → what it last cost, where it runs the model itself; in the archive ``own``, if it is there."""
    found: dict[str, Mapping[str, float]] = {}
    for archive in sorted(archives, key=lambda one: one.name == own):
        for entry in archive.observations:
            found |= entry["metadata"].get("external") or {}
    return found


def _with_costs(table: Table, costs: Mapping[str, Mapping[str, float]]) -> Table:
    """Return a table of methods with what those cost that run the model themselves, at its end; as it is without."""
    found = [costs.get(method.text, {}) for method, *_ in table.rows]
    if not any(found):
        return table
    told = [[Cell(f"{cost.get(name, math.nan):.3g}") for name in _COSTS] for cost in found]
    rows = tuple((*row, *cells) for row, cells in zip(table.rows, told, strict=True))
    return Table((*table.columns, *_COSTS), rows, note=" ".join(filter(None, [table.note, _OF_COSTS])))


def _costly_methods(archives: Sequence[Archive]) -> list[dict[str, Any]]:
    """Return a table of what methods cost that run the model themselves, for a run that does not test any."""
    costs = _costs(archives)
    if not costs:
        return []
    table = _with_costs(Table(("method",), tuple((Cell(name, "name"),) for name in costs)), costs)
    with_costs = [entry for one in archives for entry in one.observations if entry["metadata"].get("external")]
    return [
        {"tag": "methods/cost", "title": _TITLE_OF_COSTS, "moment": moment_of(with_costs[-1]), "blocks": _blocks(table)}
    ]


def _told(scores: Mapping[str, float], score: str) -> str:
    value, lower, upper = (scores.get(f"{score}{end}", math.nan) for end in ("", "_lower", "_upper"))
    return as_interval(value, math.nan if math.isnan(upper) else lower, upper)
