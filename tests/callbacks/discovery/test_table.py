from __future__ import annotations

from saliency_callbacks.callbacks.discovery.table import COLUMNS, list_of_suspicions, records_of
from tests.callbacks.discovery.suspicions import suspicion


def test_a_row_says_what_was_found():
    table = list_of_suspicions(
        {"copies-4-17": suspicion(), "b": suspicion(is_used=False, first_seen=None, what="word `a|b`")}
    )
    assert table.columns == COLUMNS
    first, second = ({name: cell.text for name, cell in zip(COLUMNS, row, strict=True)} for row in table.rows)
    assert first == {
        "key": "copies-4-17",
        "class": "4",
        "kind": "copies",
        "what": "the same 32 pixels",
        "share": "52%",
        "counts": "31 of 60, 1 of 60",
        "share_elsewhere": "2%",
        "elsewhere": "3",
        "p_value": "3e-12",
        "effect": "1.31",
        "lower_bound": "1.10",
        "control": "-0.12",
        "used": "yes",
        "first_seen": "2",
    }
    assert (second["used"], second["first_seen"]) == ("no", "")
    assert "`word 'a¦b'`" in table.markdown(), "words of the data cannot break the table"


def test_what_may_be_the_nature_of_a_class_is_unclear():
    (row,) = list_of_suspicions({"a": suspicion(is_used=False, is_conclusive=False)}).rows
    assert row[COLUMNS.index("used")].text == "unclear"


def test_an_empty_list_says_that_it_proves_nothing():
    assert list_of_suspicions({}, ["It was late."]).markdown().endswith("An empty list does not rule out a shortcut.")


def test_what_tells_it_from_others_is_plain_data():
    assert records_of({"a": suspicion()}) == {
        "a": {"class_index": 4, "kind": "copies", "what": "the same 32 pixels", "bearers": ["17", "3"]}
    }
