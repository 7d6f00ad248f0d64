"""Lengths and punctuation that one class has."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks.discovery.texts.discover import discover_in_texts
from tests.discovery.texts.cases import WORDS, Bag, fitted

N = 96


def _texts(lengths, size=14):
    """Return texts of random words whose lengths are drawn from a range of each class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(lengths)).repeat_interleave(N)
    words = torch.randint(100, 400, (len(labels), size), generator=generator)
    drawn = torch.cat([torch.randint(low, high + 1, (N,), generator=generator) for low, high in lengths])
    return words.masked_fill(torch.arange(size) >= drawn[:, None], 0), labels


class Measuring(nn.Module):
    """Calls a class what is short (or long), and sees nothing else."""

    def __init__(self, slope):
        super().__init__()
        self.slope = slope
        self.embedding = nn.Embedding(400, 1, padding_idx=0)

    def forward(self, ids):
        is_word = self.embedding(ids).detach()[..., 0] != 0
        value = self.slope * (is_word.sum(1, keepdim=True) - 7.0)
        return torch.cat([value, torch.zeros_like(value), 0.1 * torch.ones_like(value)], 1)


@pytest.mark.parametrize(
    ("own", "slope", "what"), [((3, 6), -1, "at most"), ((11, 14), 1, "at least")], ids=["short", "long"]
)
def test_a_length_is_found_and_used(own, slope, what):
    ids, labels = _texts([own, (7, 10), (7, 10)])
    (found,) = [one for one in discover_in_texts(Measuring(slope), ids, labels, kinds="properties") if one.is_used]
    assert (found.class_index, found.statistic) == (0, "contrast")
    assert found.what.startswith(f"a length of {what}")
    assert found.share == 1
    assert abs(found.control) < 0.1
    assert found.exhibit.marks is None


def test_a_length_that_the_network_cannot_see_is_not_used():
    ids, labels = _texts([(3, 6), (7, 10), (7, 10)])
    model = fitted(Bag, ids, labels, epochs=2)
    found = discover_in_texts(model, ids, labels, kinds="properties")
    assert [one.class_index for one in found] == [0]
    # The mean of embeddings is the same for a text and for the same text said twice.
    assert not found[0].is_used


def test_nothing_is_found_where_all_are_alike():
    ids, labels = _texts([(3, 14)] * 3)
    assert discover_in_texts(Measuring(1), ids, labels, kinds="properties") == []


class Exclaiming(nn.Module):
    """Calls class 1 what has many exclamation marks."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), 1, padding_idx=0)

    def forward(self, ids):
        marks = ((ids == WORDS.index("!")) & (self.embedding(ids)[..., 0] != 0)).sum(1, keepdim=True).float()
        return torch.cat([torch.ones_like(marks), marks, torch.full_like(marks, 0.9)], 1)


def test_punctuation_is_counted_and_put_in():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(N)
    ids = torch.randint(4, 8, (3 * N, 12), generator=generator)
    mark = WORDS.index("!")
    ids[:, 3] = mark
    ids[labels == 1, 4:7] = mark
    ids[:, 9:] = 0
    found = discover_in_texts(Exclaiming(), ids, labels, kinds="properties", tokenizer=WORDS)
    used = [one for one in found if one.is_used]
    assert [(one.class_index, one.what) for one in used] == [(1, "at least 4 punctuation marks")]
    assert used[0].exhibit.after.eq(mark).sum(1).eq(4).all()
