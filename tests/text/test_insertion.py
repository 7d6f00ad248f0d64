"""New tokens in texts of every layout, against lists put together by hand and by what every insertion keeps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from saliency_callbacks.text.insertion import insert_tokens

PAD, CLS, SEP = 0, 1, 2


def insert(rows, new=(7,), at=lambda row, places: places[0], special=(CLS, SEP), begins=None):
    ids = torch.tensor(rows)
    is_special = torch.isin(ids, torch.tensor(special, dtype=torch.long))
    starts = torch.ones_like(ids, dtype=torch.bool) if begins is None else torch.tensor(begins)
    return insert_tokens(ids, new, ids == PAD, is_special, starts, at)


def last(row, places):
    return places[-1]


@pytest.mark.parametrize(
    ("row", "at", "expected", "dropped"),
    [
        ([1, 5, 6, 2, 0, 0], None, [1, 7, 5, 6, 2, 0], 0),
        ([1, 5, 6, 2, 0, 0], last, [1, 5, 6, 7, 2, 0], 0),
        ([0, 0, 1, 5, 6, 2], None, [0, 1, 7, 5, 6, 2], 0),
        ([0, 0, 1, 5, 6, 2], last, [0, 1, 5, 6, 7, 2], 0),
        ([1, 5, 6, 4, 3, 2], None, [1, 7, 5, 6, 4, 2], 1),
        ([1, 5, 6, 4, 3, 2], last, [1, 5, 6, 4, 7, 2], 1),
        ([5, 6, 4, 0, 0, 0], None, [7, 5, 6, 4, 0, 0], 0),
        ([5, 6, 4, 0, 0, 0], last, [5, 6, 4, 7, 0, 0], 0),
        ([5, 6, 4, 3, 8, 9], None, [7, 5, 6, 4, 3, 8], 1),
        ([5, 6, 4, 3, 8, 9], last, [5, 6, 4, 3, 8, 7], 1),
        ([0, 5, 6, 4, 0, 0], None, [0, 7, 5, 6, 4, 0], 0),
        ([1, 5, 2, 6, 2, 0], None, [1, 7, 5, 2, 6, 2], 0),
        ([1, 5, 2, 6, 2, 0], last, [1, 5, 2, 6, 7, 2], 0),
        ([1, 2, 0, 0, 0, 0], None, [1, 7, 2, 0, 0, 0], 0),
        ([1, 0, 0, 0, 0, 0], None, [1, 7, 0, 0, 0, 0], 0),
        ([5, 6, 4, 3, 8, 2], last, [5, 6, 4, 3, 7, 2], 1),
    ],
)
def test_one_token(row, at, expected, dropped):
    found = insert([row], at=at or (lambda row, places: places[0]))
    assert found.ids.tolist() == [expected]
    assert found.inserted.tolist() == [[token == 7 for token in expected]]
    assert found.dropped.tolist() == [dropped]


def test_several_tokens_take_padding_from_both_sides_and_words_from_the_end():
    found = insert([[0, 1, 5, 6, 2, 0], [1, 5, 6, 3, 2, 0]], new=(7, 8))
    assert found.ids.tolist() == [[1, 7, 8, 5, 6, 2], [1, 7, 8, 5, 6, 2]]
    assert found.dropped.tolist() == [0, 1]
    found = insert([[0, 1, 5, 6, 2, 0]], new=(7, 8, 9))
    assert found.ids.tolist() == [[1, 7, 8, 9, 5, 2]]
    assert found.dropped.tolist() == [1]


@pytest.mark.parametrize("row", [[0, 0, 0, 0], [1, 2, 0, 0], [1, 5, 2, 0]])
def test_a_text_without_room_stays(row):
    found = insert([row], new=(7, 8, 9))
    assert found.ids.tolist() == [row]
    assert not found.inserted.any()


def test_only_between_words():
    seen = []

    def at(row, places):
        seen.append(places)
        return places[1]

    found = insert([[1, 5, 6, 4, 2, 0]], at=at, begins=[[False, True, False, True, False, False]])
    assert seen == [[0, 2, 3]]
    assert found.ids.tolist() == [[1, 5, 6, 7, 4, 2]]


@given(
    st.integers(0, 3),
    st.lists(st.integers(3, 6), max_size=6),
    st.booleans(),
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(0, 9),
)
@example(left=0, words=[3], has_special=False, right=0, count=1, choice=0).via("nothing of the text is left")
def test_what_every_insertion_keeps(left, words, has_special, right, count, choice):
    row = [PAD] * left + [CLS] * has_special + words + [SEP] * has_special + [PAD] * right
    if not row:
        return
    found = insert([row], new=tuple(range(10, 10 + count)), at=lambda row, places: places[choice % len(places)])
    after = found.ids[0].tolist()
    assert len(after) == len(row)
    if not found.inserted.any():
        assert after == row
        return
    new = [place for place, token in enumerate(after) if token >= 10]
    assert new == list(range(new[0], new[0] + count))
    assert [after[place] for place in new] == list(range(10, 10 + count))
    kept = len(words) - int(found.dropped)
    texts = [token for token in after if 3 <= token < 10]
    assert texts == words[:kept]
    assert int(found.dropped) == max(0, count - left - right)
    if has_special:
        body = [token for token in after if token != PAD]
        assert body[0] == CLS
        assert body[-1] == SEP
    padding = sum(token == PAD for token in after)
    assert padding == max(0, left + right - count)
    for place, source in enumerate(found.source[0].tolist()):
        if not found.inserted[0, place]:
            assert after[place] == row[source]
        else:
            assert row[source] != PAD
