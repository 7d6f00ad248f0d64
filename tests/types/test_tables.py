import markdown
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.types import Cell, Table

_HARMLESS = {"table", "thead", "tbody", "tr", "th", "td", "code"}


def test_cells_of_every_style_and_a_note():
    row = (Cell("a`b|c", "name"), Cell("floor", "emphasis"), Cell("0.1 ± nan"), Cell(""))
    table = Table(("class", "what", "n", "empty"), (row,), note="worst 1%")
    assert table.markdown().splitlines() == [
        "| class | what | n | empty |",
        "|---|---|---|---|",
        "| `a'b¦c` | *floor* | 0.1 ± nan | |",
        "",
        "worst 1%",
    ]


def test_a_table_without_rows():
    assert Table(("a", "b"), ()).markdown() == "| a | b |\n|---|---|"


def test_a_row_that_does_not_fit_is_named():
    with pytest.raises(ConfigurationError, match=r"1 cells, \['x'\], for 2 columns, \['a', 'b'\]; give one cell"):
        Table(("a", "b"), ((Cell("x"),),))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_names_stay_names_whatever_they_are(names):
    rows = tuple((Cell(name, "name"), Cell("1")) for name in names)
    page = markdown.markdown(Table(("name", "n"), rows).markdown(), extensions=["tables"])
    assert page.count("<tr>") == 1 + len(names)
    assert page.count("<td>") == 2 * len(names)
    assert {part.split(">")[0].strip("/") for part in page.split("<")[1:]} <= _HARMLESS
