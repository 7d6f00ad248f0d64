"""Iterable datasets are read from a copy."""

import itertools
from collections import Counter

import pytest
import torch
from torch.utils.data import IterableDataset

from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.probe import Probe


class Stream(IterableDataset):
    """Keeps its position, so that whoever iterates it takes samples away; endless without a length."""

    def __init__(self, length=None):
        self.length = length
        self.position = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.position == self.length:
            raise StopIteration
        self.position += 1
        return torch.full((2,), float(self.position - 1)), (self.position - 1) % 4


class Handle(Stream):
    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle an open file")


class Shared(Stream):
    def __deepcopy__(self, memo):
        return self


@pytest.mark.parametrize("length", [None, 100, 1000])
@pytest.mark.parametrize("stratify", [True, False])
def test_the_users_own_dataset_does_not_move(length, stratify):
    dataset = Stream(length)
    (inputs, labels), indices = Probe(8, stratify=stratify).read(dataset)
    assert dataset.position == 0
    assert inputs[:, 0].tolist() == list(indices)
    assert labels.tolist() == [index % 4 for index in indices]
    assert len(set(indices)) == 8
    assert max(indices) < 16 * 8
    if stratify:
        assert Counter(labels.tolist()) == dict.fromkeys(range(4), 2)


def test_the_choice_depends_on_the_seed_alone():
    choices = [Probe(8, seed=seed).read(Stream())[1] for seed in (0, 0, 1)]
    assert choices[0] == choices[1] != choices[2]


def test_explicit_positions():
    (inputs, _), indices = Probe(indices=[7, 2]).read(Stream())
    assert inputs[:, 0].tolist() == [7, 2]
    assert indices == (7, 2)
    with pytest.raises(ProbeError, match=r"\[7\].* 5 items"):
        Probe(indices=[7, 2]).read(Stream(5))


def test_the_positions_of_an_earlier_run():
    (inputs, _), indices = Probe(2).read(Stream(), indices=[7, 2])
    assert inputs[:, 0].tolist() == [7, 2]
    assert indices == (7, 2)
    assert Probe(2).read(Stream(5), indices=[7, 2])[1] == Probe(2).read(Stream(5))[1]


def test_a_short_stream_is_taken_as_a_whole_with_a_warning():
    with pytest.warns(SaliencyWarning, match="3 samples instead of 8"):
        assert Probe(8).read(Stream(3))[1] == (0, 1, 2)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Stream(0), "empty"),
        (Handle(), "Handle cannot be copied.*open file"),
        ((number for number in itertools.count()), "generator cannot be copied"),
        (Shared(), "Shared returned the same object"),
        (None, "read from NoneType"),
        (3, "read from int"),
    ],
)
def test_what_cannot_be_read_names_the_fix(dataset, message):
    with pytest.raises(ProbeError, match=message) as caught:
        Probe(8).read(dataset)
    assert "Probe.from_tensors(…)" in str(caught.value)
