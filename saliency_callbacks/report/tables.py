"""Tables as the page shows them: numbers in columns of their own, with a minus sign, and a dash where undefined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["Spans", "table_block"]

Spans = list[list[str]]
"""What a cell says: ``[kind, text]``, with kinds as in :func:`~saliency_callbacks.report.markdown.parse_markdown`."""

_NUMBER = re.compile(r"[-−+]?[\d.,]*\d( ?%| ± [\d.]+| \([-−]?[\d.]+ to [-−]?[\d.]+\))?")
_SPREAD = re.compile(r" ± nan$")
_UNDEFINED = "–"


def table_block(head: Sequence[Spans], rows: Sequence[Sequence[Spans]]) -> dict[str, Any]:
    """Return ``{"table": {"head", "rows", "numeric"}}``; ``numeric`` says of each column whether it has numbers.

    Example:
        >>> head, rows = [[["text", "effect"]]], [[[["text", "0.50"]]], [[["text", "nan ± nan"]]]]
        >>> table_block(head, rows)["table"]["rows"]
        [[[['text', '0.50']]], [[['text', '–']]]]
        >>> table_block([[["text", "gain"]]], [[[["text", "-0.13 (-0.5 to 0.2)"]]]])["table"]["rows"]
        [[[['text', '−0.13 (−0.5 to 0.2)']]]]
    """
    shown = [[_readable(spans) for spans in row] for row in rows]
    numeric = [_is_numeric([row[column] for row in shown if column < len(row)]) for column in range(len(head))]
    return {"table": {"head": list(head), "rows": shown, "numeric": numeric}}


def _readable(spans: Spans) -> Spans:
    """Return a cell as numbers are read: no "nan", and no hyphen for a minus; a name may be called anything."""
    if len(spans) != 1 or spans[0][0] == "code":
        return spans
    [[kind, text]] = spans
    text = _SPREAD.sub("", text)
    if text == "nan":
        return [[kind, _UNDEFINED]]
    return [[kind, text.replace("-", "−") if _NUMBER.fullmatch(text) else text]]


def _is_numeric(cells: Sequence[Spans]) -> bool:
    texts = ["".join(text for _, text in spans) for spans in cells]
    has_names = any(kind == "code" for spans in cells for kind, _ in spans)
    known = [text for text in texts if text]
    return bool(known) and not has_names and all(text == _UNDEFINED or _NUMBER.fullmatch(text) for text in known)
