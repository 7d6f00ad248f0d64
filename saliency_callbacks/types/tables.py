"""Small tables of results, carried as values, and how they are written as Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from saliency_callbacks.errors import ConfigurationError

__all__ = ["Cell", "CellStyle", "Table", "as_cell", "as_interval", "as_number"]

CellStyle = Literal["plain", "name", "emphasis"]


class Cell(NamedTuple):
    """One cell of a :class:`Table`.

    Args:
        text: What it says.
        style: ``"plain"`` for numbers and the package's own words; ``"name"`` for a name out of the data or the model,
            which nothing may read as markup; ``"emphasis"`` for a row that is not one of the others.

    Example:
        >>> print(Table(("class", "words"), ((Cell("*cat*", "name"), Cell("2")),)).markdown())
        | class | words |
        |---|---|
        | `*cat*` | 2 |
    """

    text: str
    style: CellStyle = "plain"


@dataclass(frozen=True)
class Table:
    """A result in rows and columns, for dashboards and the report.

    Args:
        columns: Title of each column.
        rows: One cell for each of ``columns``.
        note: A line below the table.

    Raises:
        ConfigurationError: If a row has more or fewer cells than there are columns.

    Example:
        >>> table = Table(("word", "times"), ((Cell("a|b", "name"), Cell("2")),), note="1 class")
        >>> print(table.markdown())
        | word | times |
        |---|---|
        | `a¦b` | 2 |
        <BLANKLINE>
        1 class
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ConfigurationError(
                    f"a row of the table has {len(row)} cells, {[cell.text for cell in row]}, for {len(self.columns)} "
                    f"columns, {list(self.columns)}; give one cell per column"
                )

    def markdown(self) -> str:
        """Return the table as Markdown; what is out of the data cannot be read as markup."""
        lines = [f"| {' | '.join(self.columns)} |", "|---" * len(self.columns) + "|"]
        lines += [f"|{'|'.join(map(_written, row))}|" for row in self.rows]
        return "\n".join(lines if self.note is None else [*lines, "", self.note])


def as_cell(text: str) -> str:
    """Return text that Markdown shows as it is, also in a table: a code span, in which only these two have a meaning.

    Example:
        >>> as_cell("<b>|`cat`")
        "`<b>¦'cat'`"
    """
    shown = " ".join(text.split()).replace("`", "'").replace("|", "¦")
    return f"`{shown}`" if shown else "` `"


def _written(cell: Cell) -> str:
    """Return a cell as Markdown, with the space around it."""
    if cell.style == "name":
        return f" {as_cell(cell.text)} "
    if cell.style == "emphasis":
        return f" *{cell.text}* "
    return f" {cell.text} " if cell.text else " "


def as_number(value: float) -> str:
    """Return a number with two digits, and zero without a sign.

    Example:
        >>> as_number(0.426), as_number(-0.001), as_number(float("nan"))
        ('0.43', '0.00', 'nan')
    """
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


def as_interval(value: float, lower: float, upper: float) -> str:
    """Return a number with its interval, where it has one.

    Example:
        >>> as_interval(0.5, 0.25, 0.75), as_interval(0.5, float("nan"), float("nan"))
        ('0.50 (0.25 to 0.75)', '0.50')
    """
    if math.isnan(value) or math.isnan(lower):
        return as_number(value)
    return f"{as_number(value)} ({as_number(lower)} to {as_number(upper)})"
