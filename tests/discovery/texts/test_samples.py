"""What a search knows of texts: runs of tokens, their places, and how they are written."""

from __future__ import annotations

import torch

from saliency_callbacks.discovery.texts.samples import PADDING, TextSamples, texts_of_ids
from saliency_callbacks.discovery.texts.shown import marked_texts
from tests.discovery.texts.cases import wordpieces

# [CLS] the film was great ##ly bad [SEP] / [CLS] a film ! . [SEP] and padding
IDS = torch.tensor([[2, 4, 5, 6, 7, 8, 9, 3], [2, 14, 5, 13, 11, 3, PADDING, PADDING]])


def _samples():
    return TextSamples(IDS, torch.tensor([0, 1]), ["a", "b"], special_ids=(2, 3), tokenizer=wordpieces())


def test_special_tokens_and_padding_are_no_content():
    assert _samples().lengths.tolist() == [6, 4]


def test_special_tokens_are_known_from_the_tokenizer_alone():
    samples = TextSamples(IDS, torch.tensor([0, 1]), range(2), tokenizer=wordpieces())
    assert samples.lengths.tolist() == [6, 4]


def test_runs_do_not_cross_special_tokens():
    runs = {run for _, run in _samples().runs(1, longest=3)}
    assert runs == {(14,), (5,), (13,), (11,), (14, 5), (5, 13), (13, 11), (14, 5, 13), (5, 13, 11)}


def test_places_are_those_of_the_runs():
    samples = _samples()
    for sample in range(2):
        for start, run in samples.runs(sample, longest=3):
            assert samples.places(run)[sample, start]
            assert samples.marks(run)[sample, start : start + len(run)].all()
    assert not samples.places((3, PADDING)).any()
    assert not samples.places(tuple(range(20))).any()


def test_marks_are_all_tokens_of_all_places():
    samples = TextSamples(torch.tensor([[4, 5, 6, 4, 5, 4]]), torch.tensor([0]), ["a"])
    assert samples.marks((4, 5)).tolist() == [[True, True, False, True, True, False]]


def test_pieces_are_written_as_the_word_that_they_make():
    assert _samples().written((7, 8, 9)) == "greatly bad"
    assert _samples().written((5, 13)) == "film !"


def test_punctuation_is_told_by_how_it_is_written():
    assert _samples().punctuation.tolist() == [[False] * 8, [False, False, False, True, True, False, False, False]]
    tokens = ["##!", "▁…", "Ġ?", "##x", "▁", "'s", "-", "[CLS]"]
    marked = TextSamples(torch.arange(8)[None], torch.tensor([0]), ["a"], tokenizer=tokens).punctuation[0]
    assert marked.tolist() == [True, True, True, False, False, False, True, False]


def test_without_a_tokenizer_tokens_are_numbers_and_no_punctuation():
    samples = TextSamples(IDS, torch.tensor([0, 1]), range(2), special_ids=(2, 3))
    assert samples.written((5, 6)) == "5 6"
    assert not samples.punctuation.any()


def test_marked_words_are_quoted_whole():
    marks = torch.zeros_like(IDS, dtype=torch.bool)
    marks[0, 5:7] = True
    assert marked_texts(IDS, marks, wordpieces()) == ["the film was «greatly bad»", "a film ! ."]
    assert marked_texts(IDS, None, wordpieces())[0] == "the film was greatly bad"
    assert marked_texts(IDS[:0], None) == []


def test_texts_of_ids_take_padding_for_padding():
    assert texts_of_ids(IDS, wordpieces()).padding.tolist() == (IDS == PADDING).tolist()
