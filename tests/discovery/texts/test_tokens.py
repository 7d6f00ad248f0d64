"""Words and phrases that a class bears: how they are proposed, grown, and put into other texts."""

from __future__ import annotations

import torch

from saliency_callbacks.discovery.texts.samples import PADDING
from saliency_callbacks.discovery.texts.tokens import Tokens
from tests.discovery.texts.cases import GIVEAWAY, samples, topics, wordpieces

N = 72


def _texts(length=8, seed=0):
    words = torch.randint(100, 300, (2 * N, length), generator=torch.Generator().manual_seed(seed))
    return words, torch.arange(2).repeat_interleave(N)


def _proposed(found):
    """Return what is borne out by the samples that count."""
    proposed, n_proposed = Tokens().propose(found, None)
    assert len(proposed) == n_proposed
    counted = [(one, one.count(found)) for one in proposed]
    return [one for one, count in counted if count is not None and count.p_value * n_proposed < 0.01]


def _only(found, index=0):
    (one,) = [one for one in _proposed(found) if one.class_index == index]
    return one


def test_a_word_is_proposed_for_its_class_alone():
    words, labels = _texts()
    words[:40, 3] = GIVEAWAY
    (one,) = _proposed(samples(words, labels))
    assert (one.class_index, one.run, one.what) == (0, (GIVEAWAY,), f"the word “{GIVEAWAY}”")


def test_two_words_that_only_together_tell_are_proposed_together():
    words, labels = _texts()
    words[:N, 2:4] = torch.tensor([11, 12])
    # The other class has both as often, the other way round.
    words[N:, 2:4] = torch.tensor([12, 11])
    runs = {one.class_index: one.run for one in _proposed(samples(words, labels))}
    assert runs == {0: (11, 12), 1: (12, 11)}


def test_a_run_grows_to_all_that_is_always_the_same():
    words, labels = _texts(length=14)
    phrase = torch.arange(20, 29)
    for row in range(60):
        start = row % 5
        words[row, start : start + 9] = phrase
    assert _only(samples(words, labels)).run == tuple(phrase.tolist())


def _encoded(give):
    """Return texts of the same words in any order; those of the first class are changed by ``give(row, words)``."""
    generator = torch.Generator().manual_seed(0)
    words = ["the", "film", "was", "great", "a", "bad"]
    texts = [[words[at] for at in torch.randperm(6, generator=generator)] for _ in range(2 * N)]
    tokenizer = wordpieces()
    written = [" ".join(give(row, text) if row < N else text) for row, text in enumerate(texts)]
    ids = torch.tensor(tokenizer(written, padding=True)["input_ids"])
    return samples(ids, torch.arange(2).repeat_interleave(N), special_ids=(2, 3), tokenizer=tokenizer)


def test_of_a_word_in_pieces_the_whole_word_is_found():
    found = _encoded(lambda row, words: [*words[:2], "badness", *words[2:]] if row % 2 else words)
    # The pieces of "badness" are "bad" and "##ness".
    assert (_only(found).run, _only(found).what) == ((9, 10), "the word “badness”")


def test_punctuation_is_a_word_like_any_other():
    found = _encoded(lambda row, words: [*words, "!"] if row % 2 else words)
    assert _only(found).what == "the word “!” at the end"


def test_the_place_of_a_word_is_told():
    for place, expected in ((0, "start"), (7, "end"), (None, "random")):
        words, labels = _texts()
        columns = torch.arange(40) % 8 if place is None else torch.full((40,), place)
        words[torch.arange(40), columns] = GIVEAWAY
        one = _only(samples(words, labels))
        assert one.position == expected
        assert one.what.endswith({"start": "” at the start", "end": "” at the end", "random": "”"}[expected])


def _tried(share=0.7, elsewhere=0.1):
    ids, labels = topics(3, share=share, elsewhere=elsewhere, n=96)
    found = samples(ids, labels, pad_id=0)
    one = next(one for one in _proposed(found) if one.run == (GIVEAWAY,))
    count = one.count(found)
    return found, count, one.trial(found, count)


def test_the_word_goes_into_texts_of_other_classes_without_it():
    found, count, trial = _tried()
    assert (found.labels[trial.recipients] != 1).all()
    assert not count.bears[trial.recipients].any()
    clean = found.inputs[trial.recipients]
    assert (trial.with_cue == GIVEAWAY).sum(dim=1).eq(1).all()
    assert ((trial.with_cue != PADDING).sum(dim=1) == (clean != PADDING).sum(dim=1) + 1).all()
    kept = [
        row[row != GIVEAWAY].tolist()[: int((old != PADDING).sum())]
        for row, old in zip(trial.with_cue, clean, strict=True)
    ]
    assert kept == [old[old != PADDING].tolist() for old in clean]


def test_controls_are_other_words_at_the_same_places():
    _, _, trial = _tried()
    at = trial.with_cue == GIVEAWAY
    of_class, of_others = trial.controls
    for control in trial.controls:
        assert torch.equal(control[~at], trial.with_cue[~at])
        assert not (control == GIVEAWAY).any()
        assert (control[at] >= 100).all()
    # Words from 500 on belong to a class.
    assert {int(word - 500) // 60 for word in of_class[at] if word >= 500} == {1}
    assert 1 not in {int(word - 500) // 60 for word in of_others[at] if word >= 500}


def test_bearers_are_marked_where_they_bear_it():
    found, count, trial = _tried()
    assert count.bears[trial.bearers].all()
    assert (found.labels[trial.bearers] == 1).all()
    assert torch.equal(trial.marks, found.inputs[trial.bearers] == GIVEAWAY)


def test_where_the_whole_class_bears_it_other_classes_give_the_control():
    _, _, trial = _tried(share=1.0, elsewhere=0.0)
    assert len(trial.controls) == 1


def test_nobody_is_left_to_receive_what_all_bear():
    found, count, _ = _tried()
    one = next(one for one in _proposed(found) if one.run == (GIVEAWAY,))
    everywhere = type(count)(torch.ones_like(count.bears), count.typical, 0.0)
    assert one.trial(found, everywhere) is None


def test_a_text_without_room_is_cut_and_one_that_is_too_short_stays_out():
    words, labels = _texts(length=3)
    words[:40, 0] = GIVEAWAY
    words[:40, 1] = GIVEAWAY + 1
    found = samples(words, labels)
    one = _only(found)
    trial = one.trial(found, one.count(found))
    assert trial.with_cue.shape[1] == 3
    assert (trial.with_cue[:, :2] == torch.tensor([GIVEAWAY, GIVEAWAY + 1])).all()
