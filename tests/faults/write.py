"""Writes the table of what goes wrong and what happens then: ``python -m tests.faults.write docs/reliability.md``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.faults.catalogue import FAULTS
from tests.faults.runs import KINDS, Fault, Outcome, outcome, without_callback

__all__ = ["BEGIN", "END", "PAGE", "table", "with_table"]

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- written by `python -m tests.faults.write` -->", "<!-- end -->"
_LONGEST = 180
_SHORT = {"TokenSaliencyMonitor": "Token…"}


def table() -> str:
    """Return one row for each fault, as Markdown: all of it is what happened just now."""
    rows = ["| What goes wrong | Tried with | What is said | The training | Files |", "|---|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, FAULTS)])


def with_table(page: str) -> str:
    """Return ``page`` with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def _row(fault: Fault) -> str:
    found = [outcome(kind, fault) for kind in fault.kinds]
    kinds = "all" if fault.kinds == KINDS else ", ".join(f"`{kind}`" for kind in fault.kinds)
    cells = [fault.title, kinds, _said(fault, found[0]), _training(fault, found), _files(found)]
    return f"| {' | '.join(cells)} |"


def _said(fault: Fault, found: Outcome) -> str:
    if fault.says is None:
        return "nothing of its own; Lightning says why it ends"
    message = next(one for one in [*found.messages, found.error] if re.search(fault.says, one))
    shown = message if len(message) <= _LONGEST else f"{message[:_LONGEST].rsplit(' ', 1)[0]} …"
    return f"`{shown.replace('|', '¦').replace('`', chr(39))}`"


def _training(fault: Fault, found: list[Outcome]) -> str:
    if fault.ends is None:
        plain = [without_callback(kind, fault) for kind in fault.kinds]
        are_same = all(one.state == other.state for one, other in zip(found, plain, strict=True))
        words = "goes on, bit-identical" if are_same else "DIFFERS"
        if fault.raises is not None:
            words += f'; with `on_error="raise"` ends by `{outcome(fault.kinds[0], fault, "raise").ended_by}`'
        return words
    ended = f"ends by `{found[0].ended_by}`"
    if not found[0].observed and not any(one.files for one in found):
        return f"{ended}, before its first step"
    is_intact = all(one.before == one.after for one in found)
    plain = [without_callback(kind, fault) for kind in fault.kinds]
    is_same = fault.alters and all(one.state == other.state for one, other in zip(found, plain, strict=True))
    return f"{ended}; the model is " + ("as before" if is_intact or is_same else "CHANGED")


def _files(found: list[Outcome]) -> str:
    return "whole" if any(one.files for one in found) else "none"


if __name__ == "__main__":
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(with_table(page.read_text()))
