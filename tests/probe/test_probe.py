"""The recipe: its arguments, and what it reads."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_convert

from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.probe import Probe, class_names, freeze, normalization, unpack_batch


class Reads(list):
    """A record that outlives the reading, after which a plain list of the dataset is as it was."""

    def clear(self):
        """Keep what was recorded."""

    def extend(self, entries):
        """Keep what was recorded."""


class Counting(Dataset):
    """Ten classes; counts what is read of it."""

    classes = tuple("abcdefghij")

    def __init__(self, length=200, *, labeled=True):
        self.length = length
        self.read = Reads()
        if labeled:
            self.targets = [index % 10 for index in range(length)]

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.read.append(index)
        return torch.full((1, 4, 4), float(index)), index % 10


class Lines:
    """As Hydra's ListConfig: a sequence that is neither list nor tuple."""

    def __init__(self, *values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]

    def __iter__(self):
        return iter(self.values)


def test_from_dataset_to_frozen_batch():
    dataset = Counting()
    loader = DataLoader(dataset, batch_size=32, shuffle=True)
    probe = Probe(20)
    batch, indices = probe.read(loader.dataset, loader.collate_fn)
    frozen = probe.freeze(batch, indices, class_names=class_names(dataset), normalization=normalization(dataset))
    assert sorted(dataset.read) == sorted(indices)
    assert frozen.size == 20
    assert frozen.indices == indices
    assert frozen.ids == tuple(map(str, indices))
    assert frozen.inputs[:, 0, 0, 0].tolist() == list(indices)
    assert frozen.labels.tolist() == [*range(10), *range(10)]
    assert frozen.class_names == Counting.classes
    again, _ = Probe(20).read(Counting())
    assert freeze(*unpack_batch(again)).fingerprint == frozen.fingerprint


def test_reading_leaves_global_random_state_alone():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002

    def state():
        return random.getstate(), torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()  # noqa: NPY002

    before = state()
    for dataset in (Counting(), Counting(labeled=False)):
        for stratify in (True, False):
            probe = Probe(8, stratify=stratify)
            freeze(*probe.unpack(probe.read(dataset)[0]))
    assert state() == before


def test_labels_are_read_through_the_collate_function_and_the_unpack_function():
    def collate(items):
        return {"picture": torch.stack([item[0] for item in items]), "kind": torch.tensor([i[1] for i in items])}

    probe = Probe(20, unpack_batch=lambda batch: (batch["picture"], batch["kind"]))
    batch, _ = probe.read(Counting(labeled=False), collate)
    assert probe.unpack(batch)[1].tolist() == [*range(10), *range(10)]


def test_a_batch_that_only_a_transfer_hook_makes_readable_is_sampled_at_random():
    batch, indices = Probe(20).read(Counting(labeled=False), lambda items: {"unknown": len(items)})
    assert batch == {"unknown": 20}
    assert len(set(indices)) == 20


def test_a_loader_without_batching_is_collated_nevertheless():
    loader = DataLoader(Counting(), batch_size=None)
    assert loader.collate_fn is default_convert
    (inputs, _), _ = Probe(4).read(loader.dataset, loader.collate_fn)
    assert inputs.shape == (4, 1, 4, 4)


def test_explicit_indices_keep_their_order():
    dataset = Counting()
    probe = Probe(indices=Lines(7, np.int64(3), torch.tensor(5)))
    assert probe.indices == (7, 3, 5)
    assert probe.size == 3
    assert probe.read(dataset)[1] == (7, 3, 5)
    assert dataset.read == [7, 3, 5]
    with pytest.raises(ProbeError, match=r"\[7, 5\].* 4 items"):
        probe.read(Counting(4))


def test_the_positions_of_an_earlier_run_go_before_a_choice():
    probe = Probe(3)
    (inputs, _), indices = probe.read(Counting(), None, range(100, 120), indices=[7, 3, 5])
    assert inputs[:, 0, 0, 0].tolist() == [7, 3, 5]
    assert indices == (7, 3, 5)
    shorter = Counting(6)
    assert probe.read(shorter, indices=[7, 3, 5])[1] == probe.read(shorter)[1]
    assert probe.read(shorter, indices=[])[1] == probe.read(shorter)[1]
    assert Probe(4).read(Counting(), indices=[7, 3, 5])[1] == Probe(4).read(Counting())[1]
    assert Probe(indices=[1, 2, 4]).read(Counting(), indices=[7, 3, 5])[1] == (1, 2, 4)


@pytest.mark.parametrize("labeled", [True, False])
def test_the_choice_is_the_same_whatever_the_default_device(labeled):
    def collate(items):
        return torch.stack([item[0] for item in items]), [item[1] for item in items]

    images = torch.rand(200, 1, 4, 4)

    class Images(Counting):
        def __getitem__(self, index):
            return images[index], index % 10

    expected = [Probe(20, stratify=stratify).read(Images(labeled=labeled), collate)[1] for stratify in (True, False)]
    with torch.device("meta"):
        found = [Probe(20, stratify=stratify).read(Images(labeled=labeled), collate)[1] for stratify in (True, False)]
    assert found == expected


def test_hydra_lists():
    omegaconf = pytest.importorskip("omegaconf")
    assert Probe(indices=omegaconf.OmegaConf.create([4, 1])) == Probe(indices=[4, 1])


def test_more_than_there_is_warns():
    with pytest.warns(SaliencyWarning, match="5 samples instead of 16"):
        assert Probe().read(Counting(5))[1] == (0, 1, 2, 3, 4)


def test_items_that_do_not_collate_are_described():
    items = [(torch.zeros(3, size, size), 0) for size in (4, 5, 6)]
    with pytest.raises(ProbeError, match=r"3 samples cannot be collated.*Tensor\[3, 4, 4\].*Tensor\[3, 5, 5\]"):
        Probe(3).read(items)


def test_a_dataloader_in_the_place_of_its_dataset_is_an_error():
    with pytest.raises(ProbeError, match=r"loader\.dataset"):
        Probe(3).read(DataLoader(Counting()))


def test_a_failing_dataset_fails_as_it_does_elsewhere():
    class Broken(Counting):
        def __getitem__(self, index):
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        Probe(3).read(Broken())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size=0.*at least 1"),
        ({"size": 2.5}, "size=2.5.*integer"),
        ({"size": True}, "size=True"),
        ({"size": "16"}, "size='16'"),
        ({"source": "valid"}, "source='valid'.*did you mean 'val'"),
        ({"source": "test"}, "'val' or 'train'"),
        ({"dataloader_idx": -1}, "dataloader_idx=-1.*at least 0"),
        ({"stratify": "yes"}, "stratify='yes'.*True or False"),
        ({"indices": []}, "empty"),
        ({"indices": [1, 2, 1]}, r"\[1\] more than once"),
        ({"indices": [-1]}, "indices=-1"),
        ({"indices": "012"}, "list of integers"),
        ({"indices": 5}, "list of integers"),
        ({"seed": None}, "seed=None"),
        ({"unpack_batch": "function"}, "unpack_batch='function'.*import path"),
        ({"unpack_batch": 3}, "unpack_batch=3"),
        ({"masks": "function"}, r"masks='function'.*inputs -> masks \[N, \*spatial\].*import path"),
        (
            {"masks": torch.ones(2, 4, 4)},
            r"masks=Tensor\[2, 4, 4\] float32\).*Probe.from_tensors\(inputs, masks=masks\)",
        ),
        (
            {"groups": ["land", "water"]},
            r"groups=list of 2.*inputs, labels -> names.*from_tensors\(inputs, groups=groups",
        ),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ProbeError, match=message):
        Probe(**arguments)


def test_of():
    probe = Probe(3)
    assert Probe.of(probe) is probe
    assert Probe.of(None) == Probe()
    assert Probe.of(8) == Probe(size=8)
    for value, named in (("all", "'all'"), (True, "True"), (0.5, "0.5"), (torch.rand(2, 3), r"Tensor\[2, 3\]")):
        with pytest.raises(ProbeError, match=rf"probe={named}.*; .*from_tensors"):
            Probe.of(value)
    with pytest.raises(ProbeError, match="at least 1"):
        Probe.of(0)


def test_fixed_samples_need_no_dataset():
    inputs, masks = torch.rand(2, 3, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool)
    probe = Probe.from_tensors(inputs, [1, 0], ids=["left", "right"], masks=masks)
    assert probe.is_fixed
    assert not Probe().is_fixed
    assert probe.size == 2
    assert probe.ids == ("left", "right")
    assert torch.equal(probe.masks, masks)
    batch, indices = probe.read()
    assert indices is None
    read, labels = probe.unpack(batch)
    assert torch.equal(read, inputs)
    assert labels.tolist() == [1, 0]
    read.zero_()
    assert torch.equal(probe.unpack(probe.read()[0])[0], inputs)


@pytest.mark.parametrize("inputs", [(torch.rand(2, 3), torch.rand(2, 1)), {"a": torch.rand(2, 3)}])
@pytest.mark.parametrize("labels", [None, torch.tensor([1, 0])])
def test_fixed_structures_survive_reading(inputs, labels):
    probe = Probe.from_tensors(inputs, labels)
    read, read_labels = probe.unpack(probe.read()[0])
    assert freeze(read).fingerprint == freeze(inputs).fingerprint
    assert (read_labels is None) == (labels is None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [1]}, "labels.* 2 rows"),
        ({"ids": ["a", "b", "c"]}, "ids.* 2 rows"),
        ({"groups": ["a", "b", "c"]}, "groups.* 2 rows"),
        ({"masks": torch.zeros(2, 3, 4)}, r"\[2, 3, 4\].*\[2, 3, 4, 4\]"),
    ],
)
def test_fixed_samples_are_checked_at_once(arguments, message):
    with pytest.raises(ProbeError, match=message):
        Probe.from_tensors(torch.rand(2, 3, 4, 4), **arguments)


def test_equality_and_hash():
    inputs = torch.rand(2, 3, 4, 4)
    assert Probe(8, seed=1) == Probe(size=8, seed=1)
    assert hash(Probe(8)) == hash(Probe(8))
    others = [Probe(9), Probe(8, "train"), Probe(8, seed=1), Probe(8, unpack_batch="a.b"), Probe(indices=range(8))]
    others += [Probe(8, masks="a.b"), Probe(8, groups="a.b")]
    assert Probe(8) not in others
    masks = torch.zeros(2, 4, 4)
    fixed = Probe.from_tensors(inputs)
    assert fixed == Probe.from_tensors(inputs.clone())
    assert fixed not in (Probe(2), 2, Probe.from_tensors(inputs, masks=masks), Probe.from_tensors(inputs, [0, 1]))
    assert fixed != Probe.from_tensors(inputs, groups=["land", "water"])


_FIXED = Probe.from_tensors(torch.rand(2, 3, 4), [0, 1], masks=torch.rand(2, 4), groups=["land", "water"])


@pytest.mark.parametrize("probe", [Probe(3, "train", unpack_batch="a.b"), _FIXED])
def test_copies_and_pickles_are_equal(probe):
    assert copy.deepcopy(probe) == probe
    assert pickle.loads(pickle.dumps(probe)) == probe


def test_repr():
    assert repr(Probe()) == "Probe()"
    assert repr(Probe(8, "train", seed=3)) == "Probe(size=8, source='train', seed=3)"
    assert eval(repr(Probe(indices=[3, 1]))) == Probe(indices=[3, 1])
    assert repr(Probe.from_tensors(torch.rand(2, 3))).startswith(
        "Probe.from_tensors(Tensor[2, 3] float32, fingerprint='"
    )


def test_torchvision_data_from_end_to_end():
    torchvision = pytest.importorskip("torchvision")
    steps = torchvision.transforms
    transform = steps.Compose([steps.ToTensor(), steps.Normalize([0.5] * 3, [0.25] * 3)])
    dataset = torchvision.datasets.FakeData(40, image_size=(3, 8, 8), num_classes=2, transform=transform)
    probe = Probe(8)
    batch, indices = probe.read(dataset)
    inputs, labels = probe.unpack(batch)
    frozen = freeze(inputs, labels, indices=indices, normalization=normalization(dataset))
    assert frozen.normalization == ((0.5,) * 3, (0.25,) * 3)
    assert labels.bincount().tolist() == [4, 4]


def test_tensor_dataset():
    dataset = TensorDataset(torch.rand(40, 3), torch.arange(40) % 2)
    assert Probe(8).unpack(Probe(8).read(dataset)[0])[1].tolist() == [0, 1] * 4
