"""Datasets that deliver whole batches give the first rows of their first items."""

import dataclasses
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset, default_convert

from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.probe import Probe
from saliency_callbacks.probe.prebatched import first_rows

Pair = namedtuple("Pair", "image label")


class Batches:
    """Item ``i`` is a batch of five samples, from ``5 i`` on."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index >= 4:
            raise IndexError(index)
        rows = np.arange(5) + 5 * index
        return {
            "image": np.ones((5, 1, 2, 2)) * rows[:, None, None, None],
            "label": rows,
            "name": [f"{r}" for r in rows],
        }


class EndlessBatches(IterableDataset):
    position = 0

    def __iter__(self):
        while True:
            yield Batches()[self.position % 4]
            self.position += 1


@pytest.mark.parametrize("size", [1, 5, 8, 20])
@pytest.mark.parametrize("collate", [None, default_convert])
@pytest.mark.parametrize("dataset", [Batches(), EndlessBatches()])
def test_rows_of_as_many_batches_as_are_needed(dataset, size, collate):
    probe = Probe(size)
    batch, indices = probe.read(dataset, collate, batched=False)
    inputs, labels = probe.unpack(batch)
    assert indices is None
    assert inputs.shape == (size, 1, 2, 2)
    assert inputs[:, 0, 0, 0].tolist() == labels.tolist() == list(range(size))
    assert list(batch["name"]) == [str(row) for row in range(size)]


def test_only_candidates_are_read():
    batch, _ = Probe(3).read(Batches(), None, [2], batched=False)
    assert batch["label"].tolist() == [10, 11, 12]


def test_fewer_rows_warn():
    with pytest.warns(SaliencyWarning, match="20 samples instead of 30"):
        assert len(Probe(30).read(Batches(), batched=False)[0]["label"]) == 20


def test_positions_of_single_samples_cannot_be_chosen():
    with pytest.raises(ProbeError, match=r"whole batches.*from_tensors"):
        Probe(indices=[1, 2]).read(Batches(), batched=False)


def test_a_dataset_without_rows_is_an_error():
    with pytest.raises(ProbeError, match="empty"):
        Probe(3).read([], batched=False)
    with pytest.raises(ProbeError, match="empty"):
        Probe(3).read([torch.zeros(0, 2)] * 4, batched=False)


def test_structure_is_kept():
    pair = first_rows(
        [Pair(torch.arange(3), [torch.arange(3), "shared"]), Pair(torch.arange(3), [torch.ones(3), "x"])], 5
    )
    assert isinstance(pair, Pair)
    assert pair.image.tolist() == [0, 1, 2, 0, 1]
    assert pair.label[0].tolist() == [0, 1, 2, 1, 1]
    assert pair.label[1] == "shared"


def test_what_is_shared_by_all_rows_is_kept():
    x, scale = torch.arange(6).reshape(6, 1), torch.tensor(2.0)
    rows = first_rows([(x, scale, torch.ones(3)), (x, scale, torch.zeros(3))], 8)
    assert rows[0].shape == (8, 1)
    assert rows[1] is scale
    assert rows[2].tolist() == [1, 1, 1]


def test_one_entry_for_each_row_is_cut_with_the_rows():
    targets = [{"boxes": torch.zeros(number, 4)} for number in (2, 1, 3)]
    images, kept = first_rows([(torch.zeros(3, 1, 4, 4), targets)], 2)
    assert len(images) == len(kept) == 2
    assert kept[1]["boxes"].shape == (1, 4)


def test_a_pair_of_two_rows_is_a_pair():
    x, y = first_rows([(torch.zeros(2, 3), torch.tensor([0, 1]))], 1)
    assert x.shape == (1, 3)
    assert y.tolist() == [0]


def test_batches_of_other_shapes_end_the_reading_with_a_warning():
    with pytest.warns(SaliencyWarning, match=r"4 samples instead of 6.*cannot be combined"):
        assert first_rows([torch.zeros(4, 3), torch.zeros(4, 5)], 6).shape == (4, 3)


def test_a_batch_without_tensors_is_left_to_the_transfer_hooks():
    batch = {"picture": object()}
    assert first_rows([batch, batch], 3) is batch


@dataclasses.dataclass
class Fields:
    image: torch.Tensor
    label: torch.Tensor


def test_batches_with_attributes_are_cut_and_joined():
    batches = [Fields(torch.full((4, 1, 2, 2), float(start)), torch.arange(start, start + 4)) for start in (0, 4)]
    rows = first_rows(batches, 6)
    assert isinstance(rows, Fields)
    assert rows.label.tolist() == [0, 1, 2, 3, 4, 5]
    assert rows.image.shape == (6, 1, 2, 2)
    assert len(batches[0].label) == 4
