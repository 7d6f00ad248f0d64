"""What a dataloader's sampler is limited to, without iterating it."""

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe import Probe, candidate_indices
from saliency_callbacks.probe.loaders import is_batched

DATASET = TensorDataset(torch.arange(60.0)[:, None], torch.arange(60) % 5)


class Unlabeled(Dataset):
    """The label is known only from an item."""

    def __len__(self):
        return 60

    def __getitem__(self, index):
        if not 30 <= index < 50:
            raise AssertionError(f"item {index} was read")
        return DATASET[index]


class Part(Sampler):
    """A sampler of one's own that must not be iterated."""

    def __init__(self, indices):
        self.indices = indices

    def __len__(self):
        return len(self.indices)

    def __iter__(self):
        raise AssertionError("iterated")


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(DATASET, 4, sampler=SubsetRandomSampler(range(30, 40))),
        DataLoader(DATASET, 4, sampler=SubsetRandomSampler(torch.arange(30, 40).flip(0))),
        DataLoader(DATASET, 4, sampler=Part([*range(30, 40), 30])),
        DataLoader(DATASET, batch_sampler=BatchSampler(Part(list(range(30, 40))), 4, drop_last=False)),
        DataLoader(DATASET, None, sampler=BatchSampler(Part(list(range(30, 40))), 4, drop_last=False)),
    ],
)
def test_the_positions_of_a_subset_sampler(loader):
    candidates = candidate_indices(loader)
    assert list(candidates) == list(range(30, 40))
    for stratify in (True, False):
        _, indices = Probe(5, stratify=stratify).read(loader.dataset, None, candidates)
        assert len(set(indices)) == 5
        assert set(indices) <= set(range(30, 40))


@pytest.mark.parametrize(
    "sampler",
    [
        None,
        RandomSampler(DATASET),
        WeightedRandomSampler([1.0] * 60, 60),
        DistributedSampler(DATASET, num_replicas=2, rank=0),
        Part(["a", "b"]),
        Part([0.5, 1.0]),
        Part("012"),
        Part([]),
        Part({"train": 3}),
    ],
)
def test_other_samplers_have_none(sampler):
    assert candidate_indices(DataLoader(DATASET, 4, sampler=sampler)) is None


def test_the_share_of_one_rank_is_not_taken():
    sampler = Part([0, 2, 4])
    sampler.num_replicas = 2
    assert candidate_indices(DataLoader(DATASET, 4, sampler=sampler)) is None


def test_samplers_that_lightning_wraps_for_distributed_runs_are_looked_through():
    wrapper = pytest.importorskip("lightning.fabric.utilities.distributed").DistributedSamplerWrapper
    sampler = wrapper(SubsetRandomSampler(range(30, 40)), num_replicas=2, rank=1)
    assert list(candidate_indices(DataLoader(DATASET, 4, sampler=sampler))) == list(range(30, 40))


@pytest.mark.parametrize("loader", [None, object(), [1, 2], DataLoader([])])
def test_what_is_no_loader_with_a_sampler_has_none(loader):
    assert candidate_indices(loader) is None


def test_global_random_state_is_left_alone():
    loader = DataLoader(DATASET, 4, sampler=SubsetRandomSampler(range(30, 40)))
    before = torch.get_rng_state()
    candidate_indices(loader)
    assert torch.equal(torch.get_rng_state(), before)


def test_candidates_are_balanced_over_their_classes():
    (_, labels), indices = Probe(10).read(DATASET, None, range(30, 50))
    assert labels.bincount().tolist() == [2] * 5
    assert set(indices) <= set(range(30, 50))


def test_only_candidates_are_scanned_for_labels():
    (_, labels), indices = Probe(10).read(Unlabeled(), None, range(30, 50))
    assert labels.bincount().tolist() == [2] * 5
    assert set(indices) <= set(range(30, 50))


def test_all_candidates_are_taken_where_there_are_no_more():
    assert Probe(3).read(DATASET, None, [7, 3, 5])[1] == (7, 3, 5)
    assert Probe(2).read(DATASET, None, [7, 3, 999])[1] == (7, 3)
    with pytest.raises(ProbeError, match="empty"):
        Probe(2).read(DATASET, None, [999])


def test_explicit_indices_go_before_candidates():
    assert Probe(indices=[1, 2]).read(DATASET, None, range(30, 40))[1] == (1, 2)


def test_batching():
    class Stream(IterableDataset):
        def __iter__(self):
            raise AssertionError("iterated")

    assert is_batched(DataLoader(DATASET, 4))
    assert is_batched(DataLoader(DATASET, batch_sampler=BatchSampler(Part([1]), 1, drop_last=False)))
    assert is_batched(DataLoader(DATASET, None, sampler=BatchSampler(Part([1]), 1, drop_last=False)))
    assert is_batched(object())
    assert not is_batched(DataLoader(DATASET, None))
    assert not is_batched(DataLoader(Stream(), None))
