"""What is done to texts: written out by hand, and the same as a cue that somebody named."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.discovery.texts.changes import DeletedTokens, FittedLength, FittedPunctuation
from saliency_callbacks.discovery.texts.inserted import InsertedTokens
from saliency_callbacks.discovery.texts.rewriting import repeated, rewritten, without_run
from saliency_callbacks.errors import CueError
from saliency_callbacks.probe import TokenCue
from tests.discovery.texts.cases import wordpieces

# [CLS] 4 5 [SEP] with room, the same padded on the left, and one without room.
IDS = torch.tensor([[2, 4, 5, 3, -1, -1], [-1, -1, 2, 4, 5, 3], [2, 4, 5, 6, 7, 3]])


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("start", [[2, 9, 4, 5, 3, -1], [-1, 2, 9, 4, 5, 3], [2, 9, 4, 5, 6, 3]]),
        ("end", [[2, 4, 5, 9, 3, -1], [-1, 2, 4, 5, 9, 3], [2, 4, 5, 6, 9, 3]]),
    ],
)
def test_words_go_between_the_special_tokens(position, expected):
    change = InsertedTokens((9,), "nine", position, special_ids=(2, 3))
    assert change(IDS).tolist() == expected
    ids, inserted = change.placed(IDS)
    assert torch.equal(inserted, ids == 9)


def test_no_word_is_split():
    # the film bad ##ness, at any place but before ##ness
    ids = torch.tensor([[2, 4, 5, 9, 10, 3, -1]]).repeat(40, 1)
    ids[:, 1] = torch.arange(40) % 2 + 4
    found = InsertedTokens((13,), "!", "random", (2, 3), tokenizer=wordpieces())(ids)
    rows = [row.tolist() for row in found]
    assert all(row[row.index(9) + 1] == 10 for row in rows)


@pytest.mark.parametrize("position", ["start", "end", "random"])
def test_it_is_the_cue_that_it_gives(position):
    tokenizer = wordpieces()
    ids = torch.tensor([[2, 4, 5, 6, 3, 0], [2, 9, 10, 3, 0, 0]])
    change = InsertedTokens((9, 10), "badness", position, (2, 3), pad_id=0, tokenizer=tokenizer)
    cue = change.to_cue("tokens-4-17")
    assert isinstance(cue, TokenCue)
    assert (cue.name, cue.word) == ("tokens-4-17", "badness")
    searched = torch.where(ids == 0, -1, ids)
    assert torch.equal(change(searched).clamp(min=0), cue.insert(ids).ids)
    named = TokenCue("badness", position, tokenizer=tokenizer)
    assert torch.equal(cue.insert(ids).ids, named.insert(ids).ids)


def test_deleted_words_leave_padding_where_it_was():
    assert DeletedTokens((4,), "four", (2, 3))(IDS).tolist() == [
        [2, 5, 3, -1, -1, -1], [-1, -1, -1, 2, 5, 3], [2, 5, 6, 7, 3, -1],
    ]  # fmt: skip
    assert without_run([1, 2, 1, 2, 2, 1], (1, 2)) == [2, 1]
    assert without_run([1, 1, 1], (1, 1)) == [1]


def test_texts_are_cut_or_said_again_to_a_length():
    assert FittedLength(3, (2, 3))(IDS).tolist() == [
        [2, 4, 5, 4, 3, -1], [-1, 2, 4, 5, 4, 3], [2, 4, 5, 6, 3, -1],
    ]  # fmt: skip
    assert repeated([], 3, 4) == []


def test_the_control_of_a_length_keeps_it_and_loses_the_same_words():
    assert FittedLength(3, (2, 3)).control(IDS).tolist() == [
        [2, 4, 4, 3, -1, -1], [-1, -1, 2, 4, 4, 3], [2, 4, 5, 6, 4, 3],
    ]  # fmt: skip


def test_punctuation_is_taken_out_or_put_at_the_end():
    change = FittedPunctuation(1, mark=6, marks=(6, 7), special_ids=(2, 3))
    assert change(IDS).tolist() == [[2, 4, 5, 6, 3, -1], [-1, 2, 4, 5, 6, 3], [2, 4, 5, 6, 3, -1]]


def test_the_control_of_punctuation_changes_as_many_words():
    change = FittedPunctuation(1, mark=6, marks=(6, 7), special_ids=(2, 3))
    assert change.control(IDS).tolist() == [[2, 4, 5, 4, 3, -1], [-1, 2, 4, 5, 4, 3], [2, 4, 6, 7, 3, -1]]


def test_texts_without_words_stay_as_they_are():
    ids = torch.tensor([[2, 3, -1]])
    assert rewritten(ids, (2, 3), lambda row, content: [9]).tolist() == ids.tolist()


@pytest.mark.parametrize("change", [DeletedTokens((4,), "four"), FittedLength(3), FittedPunctuation(1, 6, (6,))])
def test_what_is_no_word_is_no_cue(change):
    with pytest.raises(CueError, match=r"'length-1-3' is .*expected a suspicion of a word"):
        change.to_cue("length-1-3")
