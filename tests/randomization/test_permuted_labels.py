"""Shuffled labels: the same images, the same labels, but not together."""

from __future__ import annotations

import random
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.randomization.permuted_labels import permute_labels, permute_loader

N = 30
IMAGES = torch.arange(N * 4, dtype=torch.float32).reshape(N, 1, 2, 2)
LABELS = torch.arange(N) % 5
Sample = namedtuple("Sample", ["scan", "diagnosis", "age"])


class Listed(Dataset):
    """Items that a function makes of image and label, with a count of those that were read."""

    def __init__(self, make, targets=None):
        self.make = make
        self.n_reads = 0
        if targets is not None:
            self.targets = targets

    def __len__(self):
        return N

    def __getitem__(self, index):
        self.n_reads += 1
        return self.make(IMAGES[index], LABELS[index])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(IMAGES, LABELS, strict=True))


def pairs():
    return TensorDataset(IMAGES, LABELS)


def labels_of(dataset, key=1):
    return torch.tensor([int(torch.as_tensor(dataset[index][key])) for index in range(len(dataset))])


def test_labels_are_permuted_and_images_are_not():
    permuted = permute_labels(pairs(), seed=0)
    found = labels_of(permuted)
    assert len(permuted) == N
    assert all(torch.equal(permuted[index][0], IMAGES[index]) for index in range(N))
    assert not torch.equal(found, LABELS)
    assert torch.equal(found.sort().values, LABELS.sort().values)
    assert torch.equal(permuted.targets, found)
    assert torch.equal(dataset_labels(permuted), found)


def test_the_permutation_is_that_of_the_seed():
    drawn = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    assert torch.equal(permute_labels(pairs(), seed=3).targets, LABELS[drawn])
    assert not torch.equal(permute_labels(pairs(), seed=4).targets, LABELS[drawn])


def test_global_generators_are_untouched():
    before = [torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()]  # noqa: NPY002
    permute_loader(DataLoader(pairs(), shuffle=True), seed=0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == random.getstate()


@pytest.mark.parametrize(
    ("make", "key", "label_key"),
    [
        (lambda image, label: (image, label), 1, None),
        (lambda image, label: [image, int(label)], 1, None),
        (lambda image, label: (image, np.int64(label), "name"), 1, None),
        (lambda image, label: (image, label.reshape(1)), 1, None),
        (lambda image, label: (image, np.array([int(label)])), 1, None),
        (lambda image, label: Sample(image, int(label), 40), 1, None),
        (lambda image, label: Sample(image, 40, int(label)), 2, "age"),
        (lambda image, label: (40, image, int(label)), 2, -1),
        (lambda image, label: {"image": image, "Label": label}, "Label", None),
        (lambda image, label: {"label": "a text", "y": int(label)}, "y", None),
        (lambda image, label: {"scan": image, "diagnosis": int(label)}, "diagnosis", "diagnosis"),
        (lambda image, label: {"image": image, "gt": int(label)}, "gt", None),
        (lambda image, label: {"image": image, "fine.label": int(label)}, "fine.label", "fine.label"),
        (lambda image, label: (torch.tensor(7), image, label), 2, None),
        (lambda image, label: ("path", image, label), 2, None),
    ],
)
def test_every_form_of_an_item_keeps_its_types(make, key, label_key):
    dataset = Listed(make)
    permuted = permute_labels(dataset, seed=1, label_key=label_key)
    assert torch.equal(labels_of(permuted, key), permute_labels(pairs(), seed=1).targets)
    old, new = dataset[7], permuted[7]
    assert type(old) is type(new)
    assert type(old[key]) is type(new[key])
    entries = old.keys() if isinstance(old, dict) else range(len(old))
    for entry in entries:
        if entry not in (key, label_key):
            assert old[entry] is new[entry] or torch.equal(old[entry], new[entry])


@pytest.mark.parametrize(
    ("make", "read", "label_key"),
    [
        (lambda image, label: {"image": image, "target": {"label": label}}, lambda item: item["target"]["label"], None),
        (lambda image, label: (image, (label, "meta")), lambda item: item[1][0], None),
        (lambda image, label: (image, {"sex": 1, "stage": label}), lambda item: item[1]["stage"], "1.stage"),
        (lambda image, label: (image, [0, int(label)]), lambda item: item[1][1], "1.1"),
        (
            lambda image, label: {"image": image, "t": Sample(0, int(label), 1)},
            lambda item: item["t"][1],
            "t.diagnosis",
        ),
        (lambda image, label: SimpleNamespace(image=image, label=label), lambda item: item.label, None),
        (lambda image, label: (image, float(label)), lambda item: item[1], 1),
        (lambda image, label: (image, F.one_hot(label, 5).float()), lambda item: item[1].argmax(), None),
        (lambda image, label: (image, F.one_hot(label, 5).tolist()), lambda item: item[1].index(1), "1"),
    ],
)
def test_labels_wherever_a_probe_finds_them(make, read, label_key):
    dataset = Listed(make)
    permuted = permute_labels(dataset, seed=1, label_key=label_key)
    found = torch.tensor([int(read(permuted[index])) for index in range(N)])
    assert torch.equal(found, permute_labels(pairs(), seed=1).targets)
    assert [int(read(dataset[index])) for index in range(N)] == LABELS.tolist()
    assert type(read(permuted[3])) is type(read(dataset[3]))


def test_several_labels_stay_together():
    rows = F.one_hot(LABELS, 5) | F.one_hot((LABELS * 2) % 5, 5)
    for each in (rows, rows.float(), rows.bool()):
        permuted = permute_labels(TensorDataset(IMAGES, each), seed=1)
        given = torch.stack([row for _, row in permuted])
        assert given.dtype == each.dtype
        assert torch.equal(given, each[torch.randperm(N, generator=torch.Generator().manual_seed(1))])
        assert permuted.targets.dtype == torch.bool


def test_the_dataset_tells_which_of_several_parts_is_the_label():
    dataset = Listed(lambda image, label: (image, torch.tensor(1), label), targets=LABELS.tolist())
    assert torch.equal(labels_of(permute_labels(dataset, seed=1), 2), permute_labels(pairs(), seed=1).targets)


def test_rows_of_unequal_length_are_an_error():
    dataset = Listed(lambda image, label: (image, torch.ones(int(label) + 1)))
    with pytest.raises(ConfigurationError, match="under 1, have 1 to 5 entries"):
        permute_labels(dataset, seed=0)


def test_the_items_of_the_dataset_itself_are_not_changed():
    items = [{"image": image, "label": int(label)} for image, label in zip(IMAGES, LABELS, strict=True)]
    permuted = permute_labels(items, seed=0)
    assert labels_of(permuted, "label").tolist() != LABELS.tolist()
    assert [item["label"] for item in items] == LABELS.tolist()


def test_labels_come_from_attributes_with_few_items_read():
    dataset = Listed(lambda image, label: (image, label), targets=LABELS.tolist())
    permute_labels(dataset, seed=0)
    assert dataset.n_reads < N
    unknown = Listed(lambda image, label: (image, label))
    permute_labels(unknown, seed=0)
    assert N <= unknown.n_reads <= N + 6


def test_attributes_that_are_not_the_labels_of_the_items_do_not_count():
    # As with a `target_transform`: a class that comes once is enough to tell.
    transformed = LABELS.clone()
    transformed[11] = 99
    permuted = permute_labels(Listed(lambda image, label: (image, label), targets=transformed), seed=0)
    assert torch.equal(permuted.targets, permute_labels(pairs(), seed=0).targets)


def test_labels_of_a_subset():
    subset = Subset(pairs(), list(range(4, 24)))
    permuted = permute_labels(subset, seed=0)
    assert torch.equal(permuted.targets.sort().values, LABELS[4:24].sort().values)
    assert torch.equal(permuted[0][0], IMAGES[4])


def test_the_loader_keeps_its_settings():
    def collate(items):
        return items

    loader = DataLoader(pairs(), batch_size=7, shuffle=True, drop_last=True, collate_fn=collate, num_workers=0)
    permuted = permute_loader(loader, seed=0)
    assert (permuted.batch_size, permuted.drop_last, permuted.num_workers) == (7, True, 0)
    assert permuted.collate_fn is collate
    assert isinstance(permuted.sampler, RandomSampler)
    assert len(permuted) == len(loader) == 4
    assert isinstance(permute_loader(DataLoader(pairs()), seed=0).sampler, SequentialSampler)


def test_a_loader_with_workers():
    loader = DataLoader(pairs(), batch_size=10, num_workers=2, prefetch_factor=3, persistent_workers=True)
    permuted = permute_loader(loader, seed=0)
    assert (permuted.num_workers, permuted.prefetch_factor, permuted.persistent_workers) == (2, 3, True)


def test_a_batch_sampler_is_kept():
    own = BatchSampler(SequentialSampler(range(N)), 4, drop_last=False)
    permuted = permute_loader(DataLoader(pairs(), batch_sampler=own), seed=0)
    assert permuted.batch_sampler is own
    assert torch.equal(torch.cat([labels for _, labels in permuted]), permute_labels(pairs(), seed=0).targets)


def test_labels_stay_among_the_items_that_are_trained_on():
    chosen = [0, 1, 2, 10, 11, 12, 20, 21]
    permuted = permute_loader(DataLoader(pairs(), sampler=SubsetRandomSampler(chosen)), seed=0).dataset
    assert torch.equal(permuted.targets[chosen].sort().values, LABELS[chosen].sort().values)
    others = [index for index in range(N) if index not in chosen]
    assert torch.equal(permuted.targets[others], LABELS[others])


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (DataLoader(Stream()), "Stream cannot be read by position"),
        (DataLoader(pairs(), batch_size=None), "are whole batches"),
        ([DataLoader(pairs())], "expected one torch DataLoader"),
    ],
)
def test_loaders_that_cannot_be_permuted(loader, message):
    with pytest.raises(ConfigurationError, match=message):
        permute_loader(loader, seed=0)


@pytest.mark.parametrize(
    ("make", "label_key", "message"),
    [
        (lambda image, label: image, None, "no label was found in the item Tensor"),
        (lambda image, label: (image,), None, "no label was found"),
        (lambda image, label: {"image": image}, None, "no label was found"),
        (lambda image, label: {"image": image, "label": label}, "diagnosis", "label_key='diagnosis'"),
        (lambda image, label: (image, label), 2, "label_key=2"),
        (lambda image, label: (image, label), "label", "label_key='label'"),
        (lambda image, label: (image, float(label)), None, "expected an integer class"),
        (lambda image, label: (image, label.float()), None, "expected an integer class"),
        (lambda image, label: (image, image), None, "expected an integer class"),
        (lambda image, label: (image, "cat"), None, "expected an integer class"),
        (lambda image, label: (image, np.array(["cat"])), None, "expected an integer class"),
        (lambda image, label: (image, 3), None, r"all 30 labels of Listed are \[3\]"),
    ],
)
def test_labels_that_cannot_be_permuted(make, label_key, message):
    with pytest.raises(ConfigurationError, match=message):
        permute_labels(Listed(make), seed=0, label_key=label_key)
