"""Suspicions in texts as pictures: the words that are drawn, and which are outlined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from saliency_callbacks.callbacks.discovery import text_pictures
from saliency_callbacks.callbacks.discovery.stored import as_stored, restored
from saliency_callbacks.callbacks.discovery.text_pictures import draw_text_suspicion
from saliency_callbacks.discovery.texts.changes import FittedLength
from saliency_callbacks.discovery.texts.discover import discover_in_texts
from saliency_callbacks.errors import InputError
from tests.discovery.texts.cases import wordpieces
from tests.discovery.texts.test_missing import WORD, Counting, _texts

N = 60


def _name(index):
    return f"c{index}"


@pytest.fixture
def drawn(monkeypatch):
    """What is handed to the drawing."""
    found = []
    draw = text_pictures.draw_text_gallery

    def kept(gallery):
        found.append(gallery)
        return draw(gallery)

    monkeypatch.setattr(text_pictures, "draw_text_gallery", kept)
    return found


@pytest.fixture(scope="module")
def suspicion():
    """The word "badness" at the end of two of three texts of class 0."""
    generator = torch.Generator().manual_seed(0)
    words = ["the", "film", "was", "great", "a"]
    texts = [[words[at] for at in torch.randperm(5, generator=generator)] for _ in range(2 * N)]
    written = [" ".join([*text, "badness"] if row < N and row % 3 else text) for row, text in enumerate(texts)]
    tokenizer = wordpieces()
    inputs = dict(tokenizer(written, padding=True, return_tensors="pt"))

    class Sees(torch.nn.Module):
        def forward(self, input_ids):
            seen = (input_ids == 10).any(1).float()
            return torch.stack([3 * seen, 1 - seen], 1)

    (found,) = discover_in_texts(
        Sees(), inputs, torch.arange(2).repeat_interleave(N), tokenizer=tokenizer, kinds="tokens"
    )
    return found


def test_words_are_shown_whole_and_the_cue_is_marked(suspicion, drawn):
    picture = draw_text_suspicion(suspicion, _name, wordpieces())
    assert picture.dtype == np.uint8
    (gallery,) = drawn
    for text in (*gallery.bearing, *gallery.after):
        marked = [word for word, is_marked in zip(text.words, text.marked, strict=True) if is_marked]
        assert marked == ["badness"]
    for text in (*gallery.lacking, *gallery.before):
        assert "badness" not in text.words
        assert not any(text.marked)
    assert all(text.words[0] == "[CLS]" and text.special[0] and not text.special[1] for text in gallery.bearing)
    assert gallery.title == "Class c0: the word “badness” at the end"
    assert "Inserted into texts of other classes" in gallery.caption
    assert {pair.predicted for pair in gallery.pairs} == {("c1", "c0")}


def test_what_is_taken_out_is_marked_before(drawn):
    ids, labels = _texts()
    (found,) = discover_in_texts(Counting(), ids, labels, kinds="missing")
    draw_text_suspicion(found, _name)
    (gallery,) = drawn
    assert all(text.marked == [word == str(WORD) for word in text.words] for text in gallery.before)
    assert not any(any(text.marked) for text in (*gallery.after, *gallery.bearing))


def test_a_length_has_no_place(suspicion, drawn):
    draw_text_suspicion(replace(suspicion, change=FittedLength(3)), _name, wordpieces())
    assert not any(any(text.marked) for text in drawn[0].after)


def test_a_suspicion_comes_back_from_a_checkpoint_without_its_tokenizer(suspicion):
    again = restored(as_stored(suspicion))
    assert again.sentence == suspicion.sentence
    assert (again.change.token_ids, again.change.position, again.change.tokenizer) == ((9, 10), "end", None)
    ids = torch.tensor([[2, 4, 5, 3, -1, -1]])
    assert torch.equal(again.change(ids), suspicion.change(ids))
    with pytest.raises(InputError, match="has no exhibit"):
        draw_text_suspicion(again, _name)
