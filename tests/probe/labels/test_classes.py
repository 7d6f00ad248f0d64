"""What counts as class labels, and where a dataset keeps them."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset, random_split

from saliency_callbacks.probe import class_indices, dataset_labels
from saliency_callbacks.probe.labels.classes import label_sets


class Unreadable(Dataset):
    """Has labels, and fails when an item is read."""

    def __init__(self, n=6, **attributes):
        self.n = n
        self.__dict__.update(attributes)

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        raise AssertionError("an item was read")


class Column:
    """As a data frame's column."""

    def to_numpy(self):
        return np.array([2, 1, 0])


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([2, 1, 0]),
        torch.tensor([2, 1, 0], dtype=torch.uint8),
        torch.tensor([[2], [1], [0]], dtype=torch.int32),
        [2, 1, 0],
        (2, 1, 0),
        np.array([2, 1, 0], dtype=np.uint16),
        Column(),
        torch.eye(3)[[2, 1, 0]],
        torch.eye(3, dtype=torch.bfloat16)[[2, 1, 0]],
        torch.eye(3, dtype=torch.long)[[2, 1, 0]],
        torch.eye(3, dtype=torch.bool)[[2, 1, 0]],
    ],
)
def test_class_labels_are_read_as_int64(labels):
    classes = class_indices(labels)
    assert classes.dtype == torch.int64
    assert classes.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "labels",
    [
        None,
        "cat",
        3,
        ["cat", "dog"],
        [{"boxes": 1}],
        [[1, 2], [3]],
        torch.tensor([0.0, 0.5]),
        torch.tensor([0.0, 1.0, 2.0]),
        torch.tensor([[1.0], [float("nan")]]),
        torch.tensor([1.0 + 0.0j, 0.0]),
        torch.tensor([[1.0, 1.0], [0.0, 1.0]]),
        torch.tensor([[0.3, 0.7], [1.0, 0.0]]),
        torch.tensor([[2.0, -1.0], [1.0, 0.0]]),
        torch.tensor([[2.0, 0.0], [0.0, 3.0]]),
        torch.zeros(2, 4, 4, dtype=torch.long),
        torch.tensor(3),
    ],
)
def test_what_is_no_class_label_is_none(labels):
    assert class_indices(labels) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_floats_of_binary_cross_entropy_are_two_classes(dtype, shape):
    classes = class_indices(torch.tensor([0, 1, 1, 0], dtype=dtype).reshape(shape))
    assert classes.dtype == torch.int64
    assert classes.tolist() == [0, 1, 1, 0]


ROWS = [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("rows", [ROWS, np.array(ROWS), torch.tensor(ROWS), torch.tensor(ROWS).float()])
def test_multi_hot_rows_are_several_labels_a_sample(rows):
    found = label_sets(rows)
    assert found.dtype == torch.bool
    assert found.int().tolist() == ROWS
    assert class_indices(rows) is None


@pytest.mark.parametrize(
    "value", [None, torch.eye(3), [[1], [0]], [0, 1, 1], [[2, 0], [1, 1]], [[0.5, 1.0], [1.0, 0.0]]]
)
def test_other_rows_are_not_several_labels(value):
    assert label_sets(value) is None


@pytest.mark.parametrize("attribute", ["targets", "labels", "y"])
@pytest.mark.parametrize("convert", [list, torch.tensor, np.array])
def test_labels_are_found_without_reading_an_item(attribute, convert):
    dataset = Unreadable(**{attribute: convert([0, 1, 2, 0, 1, 2])})
    assert dataset_labels(dataset).tolist() == [0, 1, 2, 0, 1, 2]


def test_labels_are_found_through_subset_and_concatenation():
    first, second = Unreadable(targets=[0, 1, 2, 3, 4, 5]), Unreadable(targets=[9, 8, 7, 6, 5, 4])
    joined = ConcatDataset([Subset(first, [5, 0]), Subset(Subset(second, range(1, 6)), torch.tensor([0, 4]))])
    assert dataset_labels(joined).tolist() == [5, 0, 8, 4]
    part, _ = random_split(first, [4, 2], generator=torch.Generator().manual_seed(0))
    assert dataset_labels(part).tolist() == list(part.indices)


def test_one_part_without_labels_leaves_the_concatenation_without():
    assert dataset_labels(ConcatDataset([Unreadable(targets=[0] * 6), Unreadable()])) is None


def test_a_tensor_dataset_gives_its_only_column_of_labels():
    columns = torch.rand(3, 2), torch.tensor([0, 1, 2]), torch.rand(3)
    assert dataset_labels(TensorDataset(*columns)).tolist() == [0, 1, 2]
    assert dataset_labels(TensorDataset(*columns, torch.tensor([7, 7, 7]))) is None
    assert dataset_labels(TensorDataset(torch.rand(3, 2), torch.tensor([0.0, 1.0, 1.0]))).tolist() == [0, 1, 1]
    assert dataset_labels(TensorDataset(torch.rand(3, 2))) is None


def test_a_wrapper_counts_only_where_it_keeps_the_length():
    inner = Unreadable(targets=[0, 1, 2, 3, 4, 5])
    assert dataset_labels(Unreadable(6, dataset=inner)).tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset_labels(Unreadable(6, subset=inner)).tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset_labels(Unreadable(5, dataset=inner)) is None


def test_attributes_that_are_not_one_label_an_item_are_ignored():
    assert dataset_labels(Unreadable(labels=["cat", "dog"], y=[0, 1, 2, 0, 1, 2])).tolist() == [0, 1, 2, 0, 1, 2]
    assert dataset_labels(Unreadable(targets=[0, 1])) is None
    assert dataset_labels(Unreadable(targets=[0.5] * 6)) is None


def test_a_cycle_of_wrappers_ends():
    dataset = Unreadable()
    dataset.dataset = dataset
    assert dataset_labels(dataset) is None


def test_image_folder(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2):
            image.new("RGB", (4, 4)).save(tmp_path / name / f"{number}.png")
    assert dataset_labels(torchvision.datasets.ImageFolder(tmp_path)).tolist() == [0, 0, 1, 1]
