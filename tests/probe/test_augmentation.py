"""Images as they are stored: random transforms are left out of a view, and the dataset is as it was."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset
from torchvision import transforms as v1
from torchvision.datasets import FakeData
from torchvision.transforms import v2

from saliency_callbacks.probe.augmentation import differs, varies, without_augmentation


def _images(transform: Any, size: int = 6) -> FakeData:
    """A dataset of torchvision, which keeps its transform twice."""
    return FakeData(size, (3, 20, 24), 2, transform=transform)


def _items(dataset: Any) -> list[Any]:
    return [dataset[index][0] for index in range(len(dataset))]


def _equal(first: list[Any], second: list[Any]) -> bool:
    return not differs(first, second)


_RANDOM_V1 = [v1.RandomHorizontalFlip(), v1.ColorJitter(0.5), v1.RandomRotation(30), v1.AutoAugment()]
_RANDOM_V2 = [v2.RandomVerticalFlip(), v2.RandAugment(), v2.TrivialAugmentWide(), v2.ElasticTransform(), v2.AugMix()]


@pytest.mark.parametrize("random", [*_RANDOM_V1, *_RANDOM_V2], ids=lambda one: type(one).__name__)
def test_a_random_transform_does_nothing_in_the_view(random: Any) -> None:
    pipeline = (v2 if random in _RANDOM_V2 else v1).Compose([random, v1.ToTensor()])
    dataset = _images(pipeline)
    view = without_augmentation(dataset)
    assert view.left_out == (type(random).__name__,)
    assert _equal(_items(view.dataset), _items(_images(v1.ToTensor())))
    assert dataset.transform is pipeline
    assert pipeline.transforms[0] is random


def test_a_transform_of_tensors() -> None:
    pipeline = nn.Sequential(v1.RandomErasing(p=0.9), v1.Normalize([0.5] * 3, [0.2] * 3))
    view = without_augmentation(_images(v1.Compose([v1.ToTensor(), pipeline])))
    expected = _items(_images(v1.Compose([v1.ToTensor(), v1.Normalize([0.5] * 3, [0.2] * 3)])))
    assert _equal(_items(view.dataset), expected)
    assert type(pipeline[0]) is v1.RandomErasing


@pytest.mark.parametrize(
    ("random", "fixed"),
    [
        (v1.RandomCrop(16, padding=2), v1.CenterCrop(16)),
        (v2.RandomCrop((16, 12)), v2.CenterCrop((16, 12))),
        (v1.RandomResizedCrop(8), v1.Resize((8, 8))),
        (v2.RandomResizedCrop((8, 10), antialias=True), v2.Resize((8, 10), antialias=True)),
        (v2.RandomResize(10, 14), v2.Resize(12)),
    ],
    ids=["crop", "crop of v2", "resized crop", "resized crop of v2", "resize of v2"],
)
def test_what_sets_the_size_sets_the_same_size(random: Any, fixed: Any) -> None:
    view = without_augmentation(_images(v1.Compose([random, v1.ToTensor()])))
    assert _equal(_items(view.dataset), _items(_images(v1.Compose([fixed, v1.ToTensor()]))))


def test_what_is_not_random_stays() -> None:
    fixed = [v1.Resize(8), v1.CenterCrop(8), v1.RandomGrayscale(p=1), v1.GaussianBlur(3, sigma=1.0), v2.Identity()]
    dataset = _images(v1.Compose([*fixed, v1.ToTensor()]))
    view = without_augmentation(dataset)
    assert view == (dataset, ())


class _Cached(Dataset):
    """Keeps what it has read, has a transform by another name, and a generator of its own."""

    def __init__(self, inner: Dataset) -> None:
        self.inner, self.steps = inner, {"train": [v2.RandomHorizontalFlip(p=0.5)]}
        self.cache: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        if index not in self.cache:
            image, label = self.inner[index]
            for step in self.steps["train"]:
                image = step(image)
            self.cache[index] = image, label
        return self.cache[index]


def test_transforms_are_found_wherever_they_are_and_nothing_is_kept_for_the_training() -> None:
    inner = _images(v2.Compose([v2.RandomInvert(p=0), v2.RandomAutocontrast(), v2.ToImage()]))
    dataset = _Cached(Subset(ConcatDataset([inner, _images(v1.ToTensor())]), [0, 1, 2, 7]))
    before = copy.copy(vars(dataset))
    view = without_augmentation(dataset)
    assert view.left_out == ("RandomAutocontrast", "RandomHorizontalFlip")
    plain = [*_items(_images(v2.ToImage()))[:3], _items(_images(v1.ToTensor()))[1]]
    assert _equal(_items(view.dataset), plain)
    assert len(view.dataset.cache) == 4
    assert dataset.cache == {}
    assert {name: vars(dataset)[name] is value for name, value in before.items()} == dict.fromkeys(before, True)
    assert dataset.inner.dataset.datasets[0] is inner


def test_models_labels_and_circles_are_left_alone() -> None:
    dataset = _images(None)
    dataset.target_transform = v2.RandomChoice([v2.Identity()])
    dataset.model = nn.Sequential(nn.Linear(2, 2), v2.RandomHorizontalFlip())
    dataset.itself, dataset.names = dataset, ["a"] * 20_000
    assert without_augmentation(dataset) == (dataset, ())
    assert without_augmentation(None) == (None, ())


def test_a_dataset_that_cannot_be_copied_is_read_as_it_is() -> None:
    class Single(FakeData):
        def __copy__(self) -> None:
            raise TypeError("there is only one")

    dataset = Single(4, (3, 8, 8), transform=v1.RandomHorizontalFlip())
    assert without_augmentation(dataset).dataset is dataset


class _Drawing(Dataset):
    """Draws for each item, from wherever it is told to."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.torch, self.numpy = torch.Generator().manual_seed(0), np.random.default_rng(0)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return {"image": torch.full((1, 2, 2), float(index)) + self.draw(self), "label": index}


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda data: torch.rand(1), True),
        (lambda data: float(np.random.rand()), True),  # noqa: NPY002
        (lambda data: torch.rand(1, generator=data.torch), True),
        (lambda data: float(data.numpy.random()), True),
        (lambda data: 0.0, False),
    ],
    ids=["torch", "NumPy", "own of torch", "own of NumPy", "nothing"],
)
def test_whether_items_vary_is_found_by_reading_them(draw: Any, expected: bool) -> None:
    dataset = _Drawing(draw)
    states = dataset.torch.get_state().clone(), dataset.numpy.bit_generator.state
    assert varies(dataset, range(4)) is expected
    assert torch.equal(dataset.torch.get_state(), states[0])
    assert dataset.numpy.bit_generator.state == states[1]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (torch.zeros(2), torch.zeros(2), False),
        (torch.zeros(2), torch.zeros(3), True),
        ((torch.zeros(2), 1), (torch.zeros(2), 2), True),
        ({"a": [1.0]}, {"a": [1.0]}, False),
        ({"a": 1}, {"b": 1}, True),
        ([1], [1, 2], True),
        (1, 1.0, True),
        (float("nan"), float("nan"), False),
        (np.zeros(2), np.ones(2), True),
        (Image.new("L", (2, 2)), Image.new("L", (2, 2)), False),
        (Image.new("L", (2, 2)), Image.new("L", (2, 2), 9), True),
        (object(), object(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_items_are_compared_by_what_they_hold(one: Any, other: Any, expected: bool) -> None:
    assert differs(one, other) is expected
