"""Reading the probe leaves datasets, transforms and their generators as they were."""

import pickle
import random
import threading
from collections import Counter, OrderedDict, deque
from functools import cached_property, partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset

from saliency_callbacks.probe import Probe
from saliency_callbacks.probe.dataset_state import preserved


class Reads(Dataset):
    """Reading an item calls a function with the dataset."""

    def __init__(self, on_read=lambda dataset: None, length=20, **attributes):
        self.__dict__.update(attributes)
        self.on_read, self.length = on_read, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.on_read(self)
        return torch.full((1, 2, 2), float(index)), index % 2


class LazyHandle(Dataset):
    """Opens its file on the first access, so that each worker opens its own."""

    handle = None

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if self.handle is None:
            self.handle = threading.Lock()
        return torch.zeros(1, 2, 2), index % 2

    @property
    def classes(self):
        self[0]
        return ["a", "b"]

    @cached_property
    def targets(self):
        self[0]
        return [0, 1] * 10


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize(
    "wrap", [lambda inner: inner, lambda inner: Subset(inner, range(15)), lambda i: ConcatDataset([i])]
)
def test_a_handle_that_is_opened_lazily_is_not_kept(wrap, stratify):
    inner = LazyHandle()
    Probe(4, stratify=stratify).read(wrap(inner))
    assert vars(inner) == {}
    pickle.dumps(inner)


def generator_state(generator):
    if isinstance(generator, torch.Generator):
        return generator.get_state().tolist()
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)["state"]["pos"]
    if isinstance(generator, random.Random):
        return generator.getstate()
    return str(generator.bit_generator.state)


def draw(generator):
    if isinstance(generator, torch.Generator):
        return torch.rand(3, generator=generator)
    return generator.random()


GENERATORS = [
    lambda: torch.Generator().manual_seed(3),
    lambda: np.random.default_rng(3),
    lambda: np.random.Generator(np.random.MT19937(3)),
    lambda: np.random.RandomState(3),
    lambda: random.Random(3),
]


class Jitter:
    """A random transform."""

    def __init__(self, generator):
        self.generator = generator

    def __call__(self):
        draw(self.generator)


class Sequence:
    """Transforms one after the other."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self):
        for transform in self.transforms:
            transform()


class JitterModule(nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self):
        draw(self.generator)


@pytest.mark.parametrize("make", GENERATORS)
@pytest.mark.parametrize(
    "place",
    [
        lambda g: Reads(lambda dataset: draw(g), rng=g),
        lambda g: Reads(lambda dataset: draw(g), rngs={"crop": g}),
        lambda g: Reads(lambda dataset: dataset.transform(), transform=Jitter(g)),
        lambda g: Reads(lambda dataset: dataset.augment(), augment=Jitter(g)),
        lambda g: Reads(lambda dataset: dataset.target_transform(), target_transform=Jitter(g)),
        lambda g: Reads(partial(lambda g, dataset: draw(g), g)),
        lambda g: Reads(lambda dataset: dataset.call(), call=Jitter(g).__call__),
        lambda g: Reads(lambda dataset: dataset.transform(), transform=Sequence([Jitter(g)])),
        lambda g: Reads(lambda d: d.steps[0][0](), steps=nn.Sequential(nn.Sequential(JitterModule(g)))),
        lambda g: Subset(Reads(lambda dataset: draw(g), rng=g), range(10)),
        lambda g: Reads(base=Reads(rng=g), on_read=lambda dataset: draw(g)),
    ],
)
def test_generators_are_set_back(make, place):
    generator = make()
    dataset = place(generator)
    before = generator_state(generator)
    Probe(4).read(dataset)
    assert generator_state(generator) == before
    draw(generator)
    assert generator_state(generator) != before


def test_the_collate_functions_own_generator_is_set_back():
    class Mix(Jitter):
        def __call__(self, items):
            super().__call__()
            return torch.stack([item[0] for item in items])

    collate = Mix(torch.Generator().manual_seed(0))
    before = generator_state(collate.generator)
    Probe(4).read(Reads(), collate)
    assert generator_state(collate.generator) == before


def test_attributes_that_were_bound_rebound_or_deleted_are_restored():
    def change(dataset):
        dataset.count += 1
        dataset.new = 1
        dataset.__dict__.pop("gone", None)

    dataset = Reads(change, count=0, gone="there")
    before = dict(vars(dataset))
    Probe(4).read(dataset)
    assert vars(dataset) == before


@pytest.mark.parametrize(
    "container",
    [[1], {"a": 1}, {1}, deque([1], maxlen=5), Counter("ab"), OrderedDict(a=torch.zeros(2), b=torch.ones(2))],
)
def test_small_containers_are_restored_in_place(container):
    def change(dataset):
        entries = dataset.entries
        if isinstance(entries, OrderedDict):
            entries.move_to_end("a")
            entries["c"] = 1
        elif isinstance(entries, dict):
            entries["new"] = 2
            entries.pop("a", None)
        else:
            (entries.add if isinstance(entries, set) else entries.append)(len(entries) + 5)

    dataset = Reads(change, entries=container)
    before = list(container.items()) if isinstance(container, dict) else list(container)
    Probe(4).read(dataset)
    assert dataset.entries is container
    assert (list(container.items()) if isinstance(container, dict) else list(container)) == before


def test_a_large_cache_is_neither_copied_nor_emptied():
    class Cache(dict):
        def __copy__(self):
            raise AssertionError("copied")

    dataset = Reads(lambda dataset: dataset.cache.update(new=1), cache=Cache.fromkeys(range(10_001)))
    Probe(4).read(dataset)
    assert dataset.cache["new"] == 1


def test_nothing_is_copied_deeply():
    class Once:
        def __deepcopy__(self, memo):
            raise AssertionError("copied")

        __copy__ = None

        def __call__(self):
            """Transforms nothing."""

    _, indices = Probe(4).read(Reads(transform=Once(), held=[Once()]))
    assert len(indices) == 4


def test_all_is_restored_after_an_exception():
    def fail(dataset):
        dataset.handle = threading.Lock()
        draw(dataset.rng)
        raise OSError("disk")

    dataset = Reads(fail, rng=random.Random(1))
    before = dataset.rng.getstate()
    with pytest.raises(OSError, match="disk"):
        Probe(4).read(dataset)
    assert not hasattr(dataset, "handle")
    assert dataset.rng.getstate() == before


def test_objects_without_attributes_of_their_own_can_be_read():
    class Slots:
        __slots__ = ("items",)

        def __init__(self):
            self.items = [(torch.zeros(2), 0)] * 8

        def __len__(self):
            return 8

        def __getitem__(self, index):
            return self.items[index]

    for dataset in (Slots(), [(torch.zeros(2), 0)] * 8):
        assert len(Probe(4).read(dataset)[1]) == 4
    with preserved(None, 3, Slots, random.SystemRandom(), SimpleNamespace(r=random.SystemRandom())):
        pass


def test_cycles_end():
    dataset = Reads()
    dataset.dataset = dataset
    dataset.transform = lambda: dataset
    dataset.loop = [dataset]
    assert len(Probe(4).read(dataset)[1]) == 4
