"""Names out of the data, written so that a dashboard does not read them as Markdown."""

from __future__ import annotations

__all__ = ["as_cell"]


def as_cell(text: str) -> str:
    """Return text that Markdown shows as it is, also in a table: a code span, in which only these two have a meaning.

    Example:
        >>> as_cell("<b>|`cat`")
        "`<b>¦'cat'`"
    """
    shown = " ".join(text.split()).replace("`", "'").replace("|", "¦")
    return f"`{shown}`" if shown else "` `"
