"""Which part of a batch holds the labels."""

from __future__ import annotations

import re
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset, default_collate

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe import Probe, dataset_labels
from saliency_callbacks.probe.unpack import split_batch, unpack_batch

X = torch.rand(4, 3, 8, 8)
Y = torch.tensor([2, 0, 1, 2])
SEX = torch.tensor([0, 1, 1, 0])
PATHS = ["a", "b", "c", "d"]
SETS = torch.tensor([[1, 0, 1], [0, 1, 1], [0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    "batch",
    [
        (X, PATHS, Y),
        [X, [Y, PATHS]],
        (X, (PATHS, Y)),
        (X, {"label": Y, "id": torch.tensor([7, 3, 9, 4])}),
        (X, PATHS, {"target": {"label": Y}}),
        {"image": X, "target": {"label": Y, "boxes": torch.rand(4, 4)}},
        {"image": X, "gt_label": Y, "gt_mask": torch.zeros(4, 8, 8)},
        {"pixel_values": X, "fine_label": Y},
        SimpleNamespace(image=X, label=Y),
        (PATHS, X, Y),
        (X, torch.nn.functional.one_hot(Y, 3).float()),
        (X, torch.rand(4), Y),
        (X, SETS, Y),
        (X, Y[:, None]),
    ],
)
def test_labels_are_read_wherever_they_are(batch: Any) -> None:
    inputs, labels = unpack_batch(batch)
    assert inputs is X
    assert labels.tolist() == Y.tolist()
    assert Probe().freeze(batch).labels.tolist() == Y.tolist()


@pytest.mark.parametrize("batch", [(X, SETS), {"image": X, "labels": SETS.float()}, (X, {"y": SETS.bool()})])
def test_several_labels_a_sample_are_read_wherever_they_are(batch: Any) -> None:
    assert unpack_batch(batch)[1] is None
    assert torch.equal(Probe().freeze(batch).multi_labels.int(), SETS.int())


def test_masks_and_labels_of_tokens_are_no_labels_of_samples() -> None:
    ids, mask = torch.randint(9, (4, 6)), torch.tensor([[1, 1, 0, 0, 1, 0]] * 4)
    assert Probe().freeze((ids, mask)).multi_labels is None
    assert Probe().freeze((ids, mask, Y)).labels.tolist() == Y.tolist()
    frozen = Probe().freeze({"input_ids": ids, "attention_mask": mask, "labels": mask})
    assert frozen.multi_labels is None
    assert frozen.notes == ()


def test_the_annotations_of_objects_are_no_labels() -> None:
    targets = [{"boxes": torch.rand(4, 4), "labels": torch.tensor([1, 2, 3, 1])} for _ in range(4)]
    assert Probe().freeze((X, targets)).labels is None


def test_several_columns_are_told_of() -> None:
    frozen = Probe().freeze((X, SEX, Y))
    (note,) = frozen.notes
    assert frozen.labels.tolist() == SEX.tolist()
    assert "1 (from 0 to 1), 2 (from 0 to 2). 1 is used" in note
    assert "Probe(labels=2)" in note
    followed = Probe(labels=2).freeze((X, SEX, Y))
    assert (followed.labels.tolist(), followed.notes) == (Y.tolist(), ())


def test_the_labels_of_the_dataset_tell_the_column() -> None:
    frozen = Probe().freeze((X, SEX, Y), [0, 1, 2, 3], known_labels=Y)
    assert (frozen.labels.tolist(), frozen.notes) == (Y.tolist(), ())


def test_a_column_of_positions_is_not_the_labels() -> None:
    frozen = Probe().freeze((torch.tensor([5, 1, 2, 9]), X, Y), [5, 1, 2, 9])
    assert (frozen.labels.tolist(), frozen.notes) == (Y.tolist(), ())
    assert Probe().freeze((X, Y), Y.tolist()).labels.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("batch", "seen"),
    [
        ((X, torch.rand(4)), r"Tensor\[4\] float32.*Probe\(labels=1\)"),
        ((X, PATHS), r"Return them as integers with Probe\(unpack_batch=…\), or write Probe\(labels=None\)"),
        ((X, [{"labels": Y}] * 4), r"labels. Return them as integers"),
        ((X, {"a": {"b": PATHS}}), r"labels. Return them as integers"),
        (
            {"image": X, "label": torch.tensor([-1.0, 1, 1, -1])},
            r"'label': Tensor\[4\] float32.*Probe\(labels='label'\)",
        ),
        ((X, {"age": torch.rand(4)}), r"'age'"),
        (SimpleNamespace(image=X, label=PATHS), r"\.label: list of 4"),
    ],
)
def test_labels_that_are_not_read_are_told_of_once(batch: Any, seen: str) -> None:
    (note,) = Probe().freeze(batch).notes
    assert re.search(seen, note)
    silenced = Probe(labels=None).freeze(batch)
    assert (silenced.labels, silenced.notes) == (None, ())


Scan = namedtuple("Scan", ["ident", "image", "gt"])
Unnamed = namedtuple("Unnamed", ["ident", "image", "sex"])
AGE = torch.rand(4)


@pytest.mark.parametrize(
    "batch",
    [
        Scan(torch.tensor([4, 7, 1, 3]), X, Y),
        {"image": X, "ground_truth": Y},
        {"image": X, "diagnosis": Y, "sex": SEX},
        {"image": X, "image/class/label": Y},
        {"image": X, "target": {"grade_of_lesion": Y, "age": AGE}},
        (X, {"gt": {"stage": Y, "ident": SEX}}),
        {"image": X, "categoryId": Y, "num_classes": torch.full((4,), 3)},
    ],
)
def test_labels_under_other_usual_names(batch: Any) -> None:
    frozen = Probe().freeze(batch)
    assert (frozen.labels.tolist(), frozen.notes) == (Y.tolist(), ())


@pytest.mark.parametrize(
    ("batch", "paths"),
    [
        (Unnamed(torch.tensor([4, 7, 1, 3]), X, SEX), ["sex"]),
        ((X, {"sex": SEX, "age": AGE}), ["1.sex"]),
        ((X, {"sex": SEX, "stage": Y, "id": Y}), ["1.sex", "1.stage"]),
        ({"image": X, "sex": SEX, "stage": Y}, ["sex", "stage"]),
        ({"image": X, "labels": {"sex": SEX, "stage": Y}}, ["labels.sex", "labels.stage"]),
        ({"image": X, "heads": {"a": {"sex": SEX}, "b": [AGE, Y]}}, ["heads.a.sex", "heads.b.1"]),
        ((X, {"meta": {"age": AGE}}), ["1.meta.age"]),
        ((X, {"a.b": {"sex": SEX}}), ["1.a.b.sex"]),
    ],
)
def test_what_is_suggested_can_be_looked_at(batch: Any, paths: list[str]) -> None:
    frozen = Probe().freeze(batch)
    (note,) = frozen.notes
    assert frozen.labels is None
    assert " or ".join(f"Probe(labels={path!r})" for path in paths) + ", or Probe(labels=None)" in note
    for path in paths:
        labels = SEX if path.endswith("sex") else Y
        if "age" not in path.split("."):
            assert Probe(labels=path).freeze(batch).labels.tolist() == labels.tolist()


def test_only_a_few_of_many_heads_are_named() -> None:
    (note,) = Probe().freeze((X, {f"head_{number}": SEX for number in range(40)})).notes
    assert note.count("Probe(labels='") == 4


@pytest.mark.parametrize(
    "batch",
    [
        X,
        (X,),
        {"image": X},
        (X, torch.zeros(4, 8, 8)),
        {"image": X, "id": PATHS},
        {"image": X, "height": torch.full((4,), 8), "time": torch.arange(4), "patient_id": Y},
    ],
)
def test_a_batch_without_anything_like_labels_is_nothing_to_talk_about(batch: Any) -> None:
    assert Probe().freeze(batch).notes == ()


@pytest.mark.parametrize(
    ("batch", "path"),
    [
        ((X, SEX, Y), 2),
        ((X, SEX, Y), -1),
        ((X, SEX, Y), "2"),
        ({"image": X, "target": {"sex": SEX, "diagnosis": Y}}, "target.diagnosis"),
        ((X, {"a": (SEX, Y)}), "1.a.1"),
        (SimpleNamespace(image=X, grade=Y.float()), "grade"),
    ],
)
def test_labels_are_read_by_their_path(batch: Any, path: int | str) -> None:
    assert Probe(labels=path).freeze(batch).labels.tolist() == Y.tolist()
    assert Probe(labels=path).unpack(batch)[1].tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("batch", "path", "seen"),
    [
        ((X, Y), 2, "names 2, which the batch"),
        ((X, Y), "label", "names 'label', which the batch"),
        ({"image": X, "target": {"label": Y}}, "target.y", "names 'y'"),
        ((X, torch.rand(4)), 1, r"is Tensor\[4\] float32; expected one integer per sample"),
        ((X, PATHS), 1, "is list of 4"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_there_is(batch: Any, path: int | str, seen: str) -> None:
    with pytest.raises(ProbeError, match=seen):
        Probe(labels=path).freeze(batch)


@pytest.mark.parametrize("path", [True, 1.5, "", "..", ["y"]])
def test_no_path_is_an_error(path: Any) -> None:
    with pytest.raises(ProbeError, match=r"Probe\(labels=.*'target.label'"):
        Probe(labels=path)


def test_two_ways_to_say_where_the_labels_are_are_one_too_many() -> None:
    with pytest.raises(ProbeError, match=r"expected only one of them"):
        Probe(labels=1, unpack_batch=split_batch)


class Items(Dataset):
    """A hundred items, and whatever the dataset tells of their labels."""

    def __init__(self, label: Any, **told: Any) -> None:
        self.label = label
        self.__dict__.update(told)

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> Any:
        return torch.full((1, 4, 4), float(index)), *self.label(index)


def test_the_probe_is_balanced_over_delivered_labels() -> None:
    """Nine of ten are below 90, so that a choice by the dataset's own labels would be another."""
    told = [index % 10 for index in range(100)]
    probe = Probe(8)
    read, _ = probe.read(Items(lambda index: (int(index >= 90),), targets=told))
    assert probe.freeze(read).labels.bincount().tolist() == [4, 4]
    own, _ = Probe(10).read(Items(lambda index: (told[index],), targets=told))
    assert Probe(10).freeze(own).labels.bincount().tolist() == [1] * 10


def test_the_probe_is_balanced_over_floats_and_over_the_named_column() -> None:
    rare = (torch.arange(100) >= 95).float()
    for dataset, labels in [
        (TensorDataset(torch.rand(100, 1, 4, 4), rare), "auto"),
        (TensorDataset(torch.rand(100, 1, 4, 4), torch.arange(100) % 2, rare), 2),
        (Items(lambda index: ("path", (float(rare[index]), {}))), "auto"),
    ]:
        probe = Probe(8, labels=labels)
        assert probe.freeze(probe.read(dataset)[0]).labels.bincount().tolist() == [4, 4]


def test_a_column_of_a_tensor_dataset_is_known_only_where_it_is_the_only_one() -> None:
    assert dataset_labels(TensorDataset(X, SEX, Y)) is None
    assert dataset_labels(TensorDataset(X, Y)).tolist() == Y.tolist()


def test_items_are_read_as_a_collated_batch_is() -> None:
    items = [{"image": X[row], "target": {"label": int(Y[row])}} for row in range(4)]
    assert unpack_batch(default_collate(items))[1].tolist() == Y.tolist()
