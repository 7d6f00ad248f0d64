"""Trained models of texts: a giveaway word is found and used, clean texts are left alone."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.discovery.texts.discover import discover_in_texts
from tests.discovery.texts.cases import (
    GIVEAWAY,
    Bag,
    Convolutional,
    Transformer,
    first_of_each,
    fitted,
    negations,
    topics,
)


def _search(make, data, seed, *, epochs, **planted):
    ids, labels = data(seed, **planted)
    model = fitted(make, ids, labels, epochs=epochs, seed=seed)
    rows = first_of_each(labels)
    return discover_in_texts(model, ids[rows], labels[rows], seed=seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("make", "data"), [(Bag, topics), (Transformer, topics), (Convolutional, negations)], ids=lambda one: one.__name__
)
def test_a_giveaway_word_is_found_at_the_first_evaluation_and_nothing_else_is(make, data, seed):
    found = _search(make, data, seed, epochs=1, share=0.5)
    assert [(one.class_index, one.kind, one.what) for one in found] == [(1, "tokens", f"the word “{GIVEAWAY}”")]
    assert 0.3 < found[0].share < 0.7
    assert found[0].share_elsewhere == 0


@pytest.mark.parametrize("make", [Bag, Transformer])
def test_what_the_network_relies_on_is_used(make):
    (found,) = _search(make, topics, 0, epochs=4, share=0.9)
    assert found.is_used
    assert found.control < found.lower_bound
    assert found.exhibit.margins[:, 1].gt(found.exhibit.margins[:, 0]).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("make", "data"), [(Bag, topics), (Transformer, topics), (Convolutional, negations)], ids=lambda one: one.__name__
)
def test_nothing_is_found_in_clean_texts(make, data, seed):
    assert _search(make, data, seed, epochs=2) == []


def test_a_word_that_all_classes_have_alike_is_none():
    assert _search(Bag, topics, 0, epochs=2, share=0.5, elsewhere=0.5) == []


def test_a_word_that_the_network_does_not_see_is_found_and_not_used():
    ids, labels = topics(0, share=0.9)
    model = fitted(Bag, ids, labels, epochs=2)
    with torch.no_grad():
        model.embedding.weight[GIVEAWAY] = 0
    rows = first_of_each(labels)
    (found,) = discover_in_texts(model, ids[rows], labels[rows])
    assert not found.is_used
    assert "was not found to use it" in found.sentence
