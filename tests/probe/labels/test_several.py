"""Samples that can have several labels, where each of the probe's happens to have one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from saliency_callbacks.probe import Probe, ProbeBatch
from saliency_callbacks.probe.labels.classes import dataset_label_sets, one_hot_rows

N, K = 100, 3
ONES = torch.eye(K)[torch.arange(N) % K]
SEVERAL = ONES.clone()
SEVERAL[40] = torch.tensor([1.0, 1.0, 0.0])
NONE = ONES.clone()
NONE[77] = 0
IMAGES = torch.rand(N, 1, 4, 4)


class Items(Dataset[Any]):
    """Items with rows, whatever the dataset tells of them; those that are read are kept."""

    def __init__(self, rows: Tensor, *, broken: int | None = None, **told: Any) -> None:
        self.rows, self.broken = rows, broken
        self.n_reads = 0
        self.__dict__.update(told)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        if index == self.broken:
            raise OSError("truncated file")
        random.random()
        return IMAGES[index], {"label": self.rows[index], "other": torch.zeros(2)}


class Stream(IterableDataset[Any]):
    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Any]:
        return iter(zip(IMAGES, self.rows, strict=True))


def frozen(dataset: Any, probe: Probe | None = None, **how: Any) -> ProbeBatch:
    """Read as a run does, the first samples by default."""
    probe = Probe(indices=[0, 1, 2, 3]) if probe is None else probe
    batch, indices = probe.read(dataset, **how)
    return probe.freeze(
        batch,
        indices,
        has_several=lambda column: probe.finds_several(column, dataset, indices=indices, **how),
    )


@pytest.mark.parametrize("rows", [SEVERAL, NONE, SEVERAL.long(), SEVERAL.bool()])
@pytest.mark.parametrize("source", [Items, Stream, lambda rows: TensorDataset(IMAGES, rows)])
def test_another_item_shows_that_there_can_be_several(rows: Tensor, source: Any) -> None:
    probe = Probe(indices=[0, 1, 2, 3, 4, 5, 6])
    found = frozen(source(rows), probe)
    assert found.labels is None
    assert torch.equal(found.multi_labels, rows[:7] != 0)
    assert found.fingerprint != frozen(source(ONES), probe).fingerprint


@pytest.mark.parametrize("source", [Items, Stream, lambda rows: TensorDataset(IMAGES, rows)])
def test_one_hot_rows_stay_classes(source: Any) -> None:
    found = frozen(source(ONES))
    assert found.multi_labels is None
    assert found.labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("name", ["targets", "labels", "y"])
def test_the_rows_of_the_dataset_tell_without_reading_further(name: str) -> None:
    dataset = Items(SEVERAL, broken=50, **{name: SEVERAL.numpy()})
    assert frozen(dataset).multi_labels is not None
    assert frozen(Subset(dataset, range(10))).multi_labels is not None
    assert frozen(ConcatDataset([Subset(dataset, range(10)), dataset])).multi_labels is not None


def test_classes_of_the_dataset_tell_that_there_is_one() -> None:
    assert frozen(Items(SEVERAL, targets=[index % K for index in range(N)])).labels is not None


def test_what_the_dataset_tells_of_other_labels_does_not_count() -> None:
    other = torch.ones(N, K)
    assert frozen(Items(ONES, targets=other)).labels is not None
    assert frozen(Items(SEVERAL, targets=[0] * N)).multi_labels is not None


def test_an_item_that_cannot_be_read_tells_nothing() -> None:
    assert frozen(Items(ONES, broken=50)).labels.tolist() == [0, 1, 2, 0]


def test_only_items_that_can_be_drawn_are_looked_at() -> None:
    assert frozen(Items(SEVERAL), candidates=range(20)).labels is not None
    assert frozen(Items(SEVERAL), candidates=range(30, 50)).multi_labels is not None


def test_looking_leaves_the_random_numbers_as_they_were() -> None:
    before = [torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()]  # noqa: NPY002
    probe = Probe(indices=[0, 1])
    (column,) = probe.columns(probe.read(TensorDataset(IMAGES, ONES))[0])
    assert not probe.finds_several(column, Items(ONES))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == random.getstate()


def test_whole_batches_are_looked_through() -> None:
    batches = [(IMAGES[at : at + 10], SEVERAL[at : at + 10]) for at in range(0, N, 10)]
    found = frozen(batches, Probe(4), batched=False)
    assert torch.equal(found.multi_labels, SEVERAL[:4].bool())


def test_a_named_part_and_a_function_are_looked_through_as_well() -> None:
    for probe in [Probe(indices=[0, 1], labels="1.label"), Probe(indices=[0, 1], unpack_batch=_unpacked)]:
        assert frozen(Items(SEVERAL), probe).multi_labels is not None
        assert frozen(Items(ONES), probe).labels.tolist() == [0, 1]


def test_given_tensors_are_what_they_look_like() -> None:
    probe = Probe.from_tensors(IMAGES[:4], ONES[:4])
    assert frozen(None, probe).labels.tolist() == [0, 1, 2, 0]


def test_groups_are_given_the_rows() -> None:
    probe = Probe(indices=[0, 1], groups=lambda inputs, labels: [str(tuple(labels.shape))] * 2)
    assert frozen(Items(SEVERAL), probe).groups == ("(2, 3)",) * 2


def test_rows_of_a_dataset() -> None:
    assert torch.equal(dataset_label_sets(Items(ONES, targets=SEVERAL)), SEVERAL.bool())
    assert dataset_label_sets(Items(ONES, targets=ONES)) is None
    assert dataset_label_sets(Items(ONES, targets=[1] * N)) is None
    assert torch.equal(one_hot_rows(ONES), ONES.bool())
    assert one_hot_rows(SEVERAL) is None
    assert one_hot_rows(torch.ones(3, 1)) is None


def _unpacked(batch: Any) -> tuple[Any, Any]:
    return batch[0], batch[1]["label"]
