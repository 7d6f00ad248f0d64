"""Walks visit each object once, level by level."""

from types import SimpleNamespace

import pytest
import torch

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe import Probe, candidate_indices, class_names, dataset_labels, normalization
from saliency_callbacks.probe.introspection import attribute, inner_datasets, length, levels


def test_each_object_is_visited_once():
    leaf = SimpleNamespace(name="leaf")
    root = SimpleNamespace(name="root", datasets=(SimpleNamespace(name="left", dataset=leaf), leaf))
    leaf.dataset = root
    names = [[each.name for each in level] for level in levels(root, inner_datasets)]
    assert names == [["root"], ["left", "leaf"]]


def test_stacked_datasets_are_found_by_name():
    assert inner_datasets(SimpleNamespace(datasets={"image": "a", "depth": "b"})) == ["a", "b"]


class Raising:
    """Every attribute, and the length, fails with another error."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        raise self.error

    def __getattr__(self, name):
        raise self.error

    classes = targets = dataset = datasets = transform = property(lambda self: self.__getattr__("any"))


@pytest.mark.parametrize(
    "error", [NotImplementedError("later"), KeyError("name"), RuntimeError("closed"), OSError("gone")]
)
def test_what_fails_when_it_is_looked_at_counts_as_missing(error):
    owner = Raising(error)
    assert attribute(owner, "classes") is attribute(owner, "other") is length(owner) is None
    assert inner_datasets(owner) == []
    assert class_names(owner) is normalization(owner) is dataset_labels(owner) is candidate_indices(owner) is None


def test_a_dataset_whose_properties_fail_can_be_read():
    class Dataset(Raising):
        def __len__(self):
            return 40

        def __getitem__(self, index):
            return torch.zeros(1, 2, 2), index % 2

    assert Probe(4).unpack(Probe(4).read(Dataset(KeyError("name")))[0])[1].tolist() == [0, 1, 0, 1]


def test_a_length_that_cannot_be_read_is_an_error_that_names_the_fix():
    class Dataset(Raising):
        def __getitem__(self, index):
            return torch.zeros(1, 2, 2), index % 2

    dataset = Dataset(NotImplementedError())
    with pytest.raises(ProbeError, match=r"length of Dataset.*from_tensors"):
        Probe(4).read(dataset)
    assert Probe(2).read(dataset, None, [3, 9])[1] == (3, 9)
