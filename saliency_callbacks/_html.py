"""Results as HTML, for notebooks: tables, and heatmaps as small pictures within them.

Whatever is out of the data is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

from saliency_callbacks.rendering import render
from saliency_callbacks.rendering.contact_sheet import number_slices, sheet_note, sheet_of
from saliency_callbacks.rendering.theme import DETAIL_SIZE
from saliency_callbacks.types import Attribution, Table

__all__ = ["attributions_html", "picture_html", "table_html"]

_MOST_SAMPLES = 8
_LARGEST = 224
_LARGEST_SHEET = 300
_BAND = 24
_SHOWN_WIDTH = 112
_ELEMENTS = {"plain": "{}", "name": "<code>{}</code>", "emphasis": "<em>{}</em>"}


def attributions_html(attributions: Mapping[str, Attribution]) -> str:
    """Return the heatmaps of the first samples, one row for each method, with target and score of each.

    Example:
        >>> import torch
        >>> ones = torch.ones(1, 1, 2, 2)
        >>> found = {"<b>": Attribution("<b>", ones, ones[0], ones[0], torch.tensor([3]), torch.tensor([0.5]))}
        >>> "&lt;b&gt;" in attributions_html(found), "class 3 · 0.50" in attributions_html(found)
        (True, True)
    """
    if not attributions:
        return "<p>no methods</p>"
    rows, count = [], max(len(one.heatmap) for one in attributions.values())
    for name, attribution in attributions.items():
        title = f"<code>{escape(name)}</code>"
        if attribution.layer is not None:
            title += f"<br><small>{escape(attribution.layer)}</small>"
        sheet = sheet_of(attribution.heatmap.shape[1:])
        if sheet is not None:
            title += f"<br><small>{escape(sheet_note(sheet, None))}</small>"
        captions = _captions(attribution)
        width = _SHOWN_WIDTH if sheet is None else _LARGEST_SHEET
        pictures = (
            picture_html(pixels, words, width) for pixels, words in zip(_heatmaps(attribution), captions, strict=True)
        )
        rows.append(
            [
                title,
                *(
                    f"{picture}<br><small>{escape(text)}</small>"
                    for picture, text in zip(pictures, captions, strict=True)
                ),
            ]
        )
    heads = ["method", *(f"sample {number}" for number in range(min(count, _MOST_SAMPLES)))]
    left = count - _MOST_SAMPLES
    more = f"<p>{left} more sample{'s' if left > 1 else ''}</p>" if left > 0 else ""
    return _table(heads, rows) + more


def table_html(table: Table) -> str:
    """Return a table.

    Example:
        >>> from saliency_callbacks.types import Cell
        >>> table_html(Table(("a",), ((Cell("<i>"),),)))
        '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>&lt;i&gt;</td></tr></tbody></table>'
    """
    rows = [[_ELEMENTS[cell.style].format(escape(cell.text)) for cell in row] for row in table.rows]
    note = "" if table.note is None else f"<p>{escape(table.note)}</p>"
    return _table(list(map(escape, table.columns)), rows) + note


def picture_html(pixels: npt.NDArray[np.uint8], text: str, width: int = _SHOWN_WIDTH) -> str:
    """Return a picture ``[height, width, 3]`` as an element that holds it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    data = base64.b64encode(buffer.getvalue()).decode()
    source = f"data:image/png;base64,{data}"
    return f'<img src="{source}" alt="{escape(text)}" width="{width}" style="image-rendering:pixelated">'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{one}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _heatmaps(attribution: Attribution) -> npt.NDArray[np.uint8]:
    count, *spatial = attribution.heatmap[:_MOST_SAMPLES].shape
    height, width = (_BAND, spatial[0]) if len(spatial) == 1 else spatial[-2:]
    sheet = sheet_of(spatial)
    if sheet is not None:
        height, width = sheet.rows * height, sheet.columns * width
    largest = _LARGEST if sheet is None else _LARGEST_SHEET
    factor = min(1.0, largest / max(height, width)) if sheet is None else largest / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    first = Attribution(
        attribution.method,
        attribution.values[:count],
        attribution.magnitude[:count],
        attribution.heatmap[:count],
        attribution.target[:count],
        attribution.score[:count],
    )
    return number_slices(render(first, np.zeros((count, *size, 3), np.uint8), style="heatmap"), sheet, DETAIL_SIZE)


def _captions(attribution: Attribution) -> list[str]:
    pairs = zip(attribution.target.tolist(), attribution.score.tolist(), strict=True)
    told = [f"{'score' if target < 0 else f'class {target}'} · {score:.2f}" for target, score in pairs]
    return told[:_MOST_SAMPLES]
