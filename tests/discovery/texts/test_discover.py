"""The search in texts from outside: a BERT with its tokenizer, and what bad input gets."""

from __future__ import annotations

import copy

import pytest
import torch

from saliency_callbacks.discovery.discover import discover_shortcuts
from saliency_callbacks.discovery.texts.discover import discover_in_texts
from saliency_callbacks.discovery.texts.shown import marked_texts
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from tests import texts as small
from tests.discovery.texts.cases import GIVEAWAY, WORDS, Bag, wordpieces

N = 60


def _encoded():
    """Return texts with "badness" in two of three of the first class, as a tokenizer encodes them."""
    generator = torch.Generator().manual_seed(0)
    words = ["the", "film", "was", "great", "a", "un", "."]
    written = []
    for row in range(2 * N):
        text = [words[at] for at in torch.randperm(7, generator=generator)[: 3 + row % 4]]
        written.append(" ".join([*text, "badness"] if row < N and row % 3 else text))
    tokenizer = wordpieces()
    inputs = tokenizer(written, padding=True, return_tensors="pt", return_token_type_ids=True)
    return dict(inputs), torch.arange(2).repeat_interleave(N), tokenizer


def _trained_bert(inputs, labels):
    model = small.bert(num_labels=2)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(20):
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
    return model


def test_a_word_in_pieces_is_found_in_what_a_bert_is_given():
    inputs, labels, tokenizer = _encoded()
    model = _trained_bert(inputs, labels)
    before = copy.deepcopy(model.state_dict())
    found = discover_in_texts(model, inputs, labels, tokenizer=tokenizer, class_names=["bad", "fine"], kinds="tokens")
    (one,) = found
    assert (one.class_name, one.what, one.change.token_ids) == ("bad", "the word “badness” at the end", (9, 10))
    assert one.is_used
    assert one.share == pytest.approx(2 / 3, abs=0.15)
    shown = marked_texts(one.exhibit.bearing, one.exhibit.marks, tokenizer)
    assert all(text.endswith("«badness»") for text in shown)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_same_seed_finds_the_same():
    inputs, labels, tokenizer = _encoded()
    model = small.bert(num_labels=2).eval()
    first, second = (discover_in_texts(model, inputs, labels, tokenizer=tokenizer, seed=3) for _ in range(2))
    assert [(one.sentence, one.lower_bound) for one in first] == [(one.sentence, one.lower_bound) for one in second]


def test_the_given_inputs_stay_as_they_are():
    inputs, labels, tokenizer = _encoded()
    before = copy.deepcopy(inputs)
    discover_in_texts(small.bert(num_labels=2), inputs, labels, tokenizer=tokenizer)
    assert all(torch.equal(value, before[name]) for name, value in inputs.items())


def test_a_word_is_a_cue_that_an_alarm_takes():
    ids = torch.randint(20, 300, (2 * N, 6), generator=torch.Generator().manual_seed(0))
    ids[:N, 2] = GIVEAWAY
    (one,) = discover_in_texts(Bag(2), ids, torch.arange(2).repeat_interleave(N), kinds="tokens")
    inserted = one.to_cue().insert(ids[N:], torch.ones_like(ids[N:]))
    assert inserted.ids.eq(GIVEAWAY).sum(1).eq(1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": "copies"}, "copies"),
        ({"inputs": torch.rand(2, 3)}, "expected token ids"),
        ({"tokenizer": WORDS[:5]}, "knows 0 to 4"),
    ],
)
def test_what_cannot_be_searched_is_said(changes, message):
    inputs, labels, tokenizer = _encoded()
    given = {"inputs": inputs, "tokenizer": tokenizer, **changes}
    with pytest.raises(ConfigurationError, match=message):
        discover_in_texts(small.bert(num_labels=2), given.pop("inputs"), labels, **given)


def test_the_search_of_images_searches_texts_where_it_is_told_so():
    inputs, labels, tokenizer = _encoded()
    model = small.bert(num_labels=2).eval()
    found = discover_shortcuts(model, inputs, labels, tokenizer=tokenizer, kinds="tokens")
    same = discover_in_texts(model, inputs, labels, tokenizer=tokenizer, kinds="tokens")
    assert [one.sentence for one in found] == [one.sentence for one in same]
    assert len(found) == 1
    (numbers,) = discover_shortcuts(_Plain(model), inputs["input_ids"], labels, embedding="auto", kinds="tokens")
    # Nobody says that 3 is special, so that it is a word, too.
    assert numbers.change.token_ids == (9, 10, 3)
    with pytest.raises(ConfigurationError, match="preprocess="):
        discover_shortcuts(model, inputs, labels, tokenizer=tokenizer, preprocess=torch.neg)


def test_a_search_without_time_finds_nothing():
    inputs, labels, tokenizer = _encoded()
    model = small.bert(num_labels=2)
    with pytest.warns(SaliencyWarning, match="reached max_seconds"):
        assert discover_shortcuts(model, inputs, labels, tokenizer=tokenizer, max_seconds=1e-9) == []


def test_probabilities_are_read_by_the_logits_behind():
    ids = torch.randint(20, 300, (2 * N, 6), generator=torch.Generator().manual_seed(0))
    ids[:N, 2] = GIVEAWAY
    model = Bag(2).eval()
    labels = torch.arange(2).repeat_interleave(N)
    with_softmax = torch.nn.Sequential(model, torch.nn.Softmax(dim=1))
    (plain,), (soft,) = (discover_in_texts(one, ids, labels, kinds="tokens") for one in (model, with_softmax))
    assert soft.effect == pytest.approx(plain.effect, rel=1e-3)


def test_few_samples_a_class_are_said():
    inputs, labels, tokenizer = _encoded()
    few = {name: value[N - 12 : N + 12] for name, value in inputs.items()}
    with pytest.warns(SaliencyWarning, match="fewer than 24 samples"):
        discover_in_texts(small.bert(num_labels=2), few, labels[N - 12 : N + 12], tokenizer=tokenizer)


def test_classes_that_are_too_small_are_left_out():
    ids = torch.randint(20, 300, (2 * N + 2, 6), generator=torch.Generator().manual_seed(0))
    ids[:N, 2] = GIVEAWAY
    labels = torch.cat([torch.arange(2).repeat_interleave(N), torch.tensor([2, 2])])
    names = [f"text {row}" for row in range(len(ids))]
    with pytest.warns(SaliencyWarning, match="left out"):
        (found,) = discover_in_texts(Bag(3), ids, labels, kinds="tokens", ids=names)
    assert set(found.bearers) == set(names[:N])
    with pytest.raises(ConfigurationError, match="3 ids, 3 of them different, for 122 samples"):
        discover_in_texts(Bag(3), ids, labels, ids=range(3))


class _Plain(torch.nn.Module):
    """A BERT that takes ids alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model(input_ids=ids, attention_mask=(ids != 0).long()).logits
