"""Words that one class lacks."""

from __future__ import annotations

import torch
from torch import nn

from saliency_callbacks.discovery.texts.discover import discover_in_texts
from saliency_callbacks.discovery.texts.missing import Missing
from tests.discovery.texts.cases import samples

WORD = 7
N = 96


def _texts(n_classes=3):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n_classes).repeat_interleave(N)
    words = torch.randint(20, 300, (len(labels), 8), generator=generator)
    bears = (labels != 0) & (torch.rand(len(labels), generator=generator) < 0.8)
    words[bears, 3] = WORD
    return words, labels


class Counting(nn.Module):
    """Calls class 0 what lacks the word."""

    def __init__(self, n_classes=3):
        super().__init__()
        self.n_classes = n_classes
        self.embedding = nn.Embedding(300, 1, padding_idx=0)

    def forward(self, ids):
        lacks = (ids == WORD).sum(1, keepdim=True).eq(0).float()
        rest = torch.arange(self.n_classes - 1).expand(len(ids), -1) * 0.01
        return torch.cat([4 * lacks - 2, rest], 1)


def test_what_one_class_lacks_is_found_and_used():
    words, labels = _texts()
    (found,) = discover_in_texts(Counting(), words, labels, kinds="missing")
    assert (found.class_index, found.what) == (0, f"no word “{WORD}”")
    assert found.share == 1
    assert found.is_used
    assert found.exhibit.after.eq(WORD).sum() == 0
    assert found.exhibit.before.eq(WORD).sum() == len(found.exhibit.before)


def test_the_control_loses_another_word():
    words, labels = _texts()
    found = samples(words, labels)
    one = next(one for one in Missing().propose(found, None)[0] if one.run == (WORD,))
    trial = one.trial(found, one.count(found))
    (control,) = trial.controls
    assert (trial.with_cue != WORD).all()
    assert control.eq(WORD).any(dim=1).all()
    assert torch.equal((control == -1).sum(1), (trial.with_cue == -1).sum(1))


def test_of_two_classes_it_is_what_the_other_has():
    words, labels = _texts(2)
    assert discover_in_texts(Counting(2), words, labels, kinds="missing") == []
    (found,) = discover_in_texts(Counting(2), words, labels, kinds="tokens")
    assert (found.class_index, found.what) == (1, f"the word “{WORD}”")
