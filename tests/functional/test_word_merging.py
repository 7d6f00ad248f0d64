"""Scores of tokens → scores of words."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional import merge_words, word_units

IDS = [[None, 0, 0, 1, None, 0, None], [None, 0, 1, 1, 1, None, None]]
SCORES = torch.tensor([[9.0, 1, -3, 4, 9, 2, 9], [9.0, 1, 2, -2, 1, 9, 9]])
SPECIAL = torch.tensor([[True, False, False, False, True, False, True], [True, *[False] * 4, True, False]])


def test_sum_and_max_keep_the_sign():
    assert merge_words(SCORES, IDS).tolist() == [[-2, 4, 2], [1, 1, 0]]
    assert merge_words(SCORES, IDS, "max").tolist() == [[-3, 4, 2], [1, 2, 0]]


def test_special_tokens_stay_where_asked_and_padding_does_not():
    merged = merge_words(SCORES, IDS, special=SPECIAL)
    assert merged.tolist() == [[9, -2, 4, 9, 2, 9], [9, 1, 1, 9, 0, 0]]


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 2)), st.integers(-9, 9)), min_size=1, max_size=20))
def test_the_sum_is_that_of_runs(pairs):
    """`itertools.groupby` splits into the same runs; nothing of a word is lost."""
    ids, values = zip(*pairs, strict=True)
    runs = [(key, [value for _, value in run]) for key, run in itertools.groupby(pairs, key=lambda pair: pair[0])]
    expected = [sum(run) for key, run in runs if key is not None]
    merged = merge_words(torch.tensor([values], dtype=torch.float64), [ids])
    assert merged.tolist() == [expected]
    assert [stop - start for start, stop in word_units(ids)] == [len(run) for key, run in runs if key is not None]


def test_nothing_but_padding():
    assert merge_words(torch.ones(2, 3), [[None] * 3] * 2).shape == (2, 0)


def test_gradients_and_dtype_pass():
    scores = SCORES.double().requires_grad_()
    merge_words(scores, IDS).sum().backward()
    assert scores.grad.tolist() == [[0, 1, 1, 1, 0, 1, 0], [0, 1, 1, 1, 1, 0, 0]]
    assert merge_words(SCORES.half(), IDS).dtype == torch.float16


@pytest.mark.parametrize(
    ("scores", "word_ids", "settings", "message"),
    [
        (SCORES, IDS[:1], {}, "1 rows of"),
        (SCORES, [IDS[0], IDS[1][:-1]], {}, r"\[6, 7\] entries"),
        (SCORES[0], IDS, {}, r"expected \[N, T\]"),
        (SCORES[..., None], IDS, {}, "Reduce the dimension"),
        (SCORES, IDS, {"reduce": "mean"}, "'sum' or 'max'"),
        (SCORES, IDS, {"special": SPECIAL[:, :3]}, "special has shape"),
    ],
)
def test_what_does_not_fit_is_named(scores, word_ids, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        merge_words(scores, word_ids, **settings)
