"""Class names and normalization, wherever a dataset keeps them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Subset

from saliency_callbacks.probe import class_names, normalization
from saliency_callbacks.probe.metadata import class_names_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Data:
    """A dataset with whatever attributes."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __len__(self):
        return 3


class Normalize:
    """As albumentations or a person's own."""

    def __init__(self, mean, std):
        self.mean, self.std = mean, std


@pytest.mark.parametrize(
    "dataset",
    [
        Data(classes=["cat", "dog"]),
        Data(class_names=("cat", "dog")),
        Data(classes=np.array(["cat", "dog"])),
        Data(class_to_idx={"dog": 1, "cat": 0}),
        Data(classes=[("cat", "kitty"), ("dog", "hound")], class_to_idx={"cat": 0, "kitty": 0, "dog": 1, "hound": 1}),
        Data(class_to_idx={"cat": 0, "kitty": 0, "dog": 1, "hound": 1}),
    ],
)
def test_class_names_are_found_through_wrappers(dataset):
    assert class_names(dataset) == ("cat", "dog")
    assert class_names(Subset(dataset, [0])) == ("cat", "dog")
    assert class_names(ConcatDataset([Subset(dataset, [0]), dataset, Data()])) == ("cat", "dog")
    assert class_names(Data(dataset=Data(subset=dataset))) == ("cat", "dog")


def test_the_outermost_names_count():
    assert class_names(Data(classes=["a", "b"], dataset=Data(classes=["c", "d"]))) == ("a", "b")


@pytest.mark.parametrize(
    "dataset",
    [
        None,
        [1, 2],
        Data(),
        Data(classes=3),
        Data(classes=[]),
        Data(classes=[{"name": "cat"}]),
        Data(class_to_idx={"cat": 1, "dog": 2}),
        Data(class_to_idx={"cat": [0], "dog": [1]}),
        ConcatDataset([Data(classes=["cat", "dog"]), Data(classes=["dog", "cat"])]),
    ],
)
def test_no_class_names(dataset):
    assert class_names(dataset) is None


def fake_data(transform):
    datasets = pytest.importorskip("torchvision.datasets")
    return datasets.FakeData(size=4, image_size=(3, 8, 8), num_classes=2, transform=transform)


def version_1():
    from torchvision import transforms

    return transforms.Compose([transforms.ToTensor(), transforms.Compose([transforms.Normalize(MEAN, STD)])])


def version_2():
    from torchvision.transforms import v2

    return v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def sequential():
    from torchvision.transforms import v2

    return nn.Sequential(nn.Identity(), nn.Sequential(v2.Normalize(list(MEAN), list(STD))))


def weights():
    from torchvision.models import ResNet18_Weights

    return ResNet18_Weights.DEFAULT.transforms()


@pytest.mark.parametrize("make", [version_1, version_2, sequential, weights])
def test_normalization_of_torchvision_datasets(make):
    pytest.importorskip("torchvision")
    dataset = fake_data(make())
    assert normalization(dataset) == (MEAN, STD)
    assert normalization(ConcatDataset([Subset(dataset, [0]), Data(dataset=dataset)])) == (MEAN, STD)
    target_only = fake_data(None)
    target_only.target_transform = make()
    assert normalization(target_only) is None


def test_any_class_of_that_name_counts():
    pipeline = SimpleNamespace(transforms=[Normalize(torch.tensor(MEAN), np.array(STD, dtype=np.float32))])
    assert normalization(Data(transform=pipeline)) == (MEAN, STD)
    assert normalization(Data(transform=Normalize(0.5, 0.25))) == ((0.5,), (0.25,))
    assert normalization(Data(transforms=Data(transform=Normalize(0.5, 0.25)))) == ((0.5,), (0.25,))


def test_equal_numbers_of_another_precision_agree():
    parts = [Data(transform=Normalize(MEAN, STD)), Data(transform=Normalize(torch.tensor(MEAN), torch.tensor(STD)))]
    assert normalization(ConcatDataset(parts)) == (MEAN, STD)


@pytest.mark.parametrize(
    "dataset",
    [
        None,
        Data(transform=lambda image: image),
        Data(transform=Normalize(None, None)),
        Data(transform=Normalize(["red", "green"], ["red", "green"])),
        Data(transform=Normalize((0.5, 0.5), (0.5,))),
        Data(transform=SimpleNamespace(mean=MEAN, std=STD)),
        ConcatDataset([Data(transform=Normalize(0.5, 0.5)), Data(transform=Normalize(0.4, 0.5))]),
    ],
)
def test_no_normalization(dataset):
    assert normalization(dataset) is None


def test_cycles_and_endless_properties_end():
    class Endless:
        @property
        def dataset(self):
            return Endless()

    cycle = Data(transform=Normalize(0.5, 0.5))
    cycle.dataset = Data(dataset=cycle)
    cycle.transform.transforms = [cycle.transform]
    assert normalization(cycle) == ((0.5,), (0.5,))
    assert class_names(cycle) is None
    assert normalization(Endless()) is class_names(Endless()) is None


class Names(Data):
    classes = ("cat", "dog", "cow")

    def __len__(self):
        return 6


LABELS = torch.tensor([0, 1, 2])


def other_length(**attributes):
    return type("Chosen", (Data,), {"__len__": lambda self: 3})(**attributes)


@pytest.mark.parametrize(
    ("dataset", "known"),
    [
        (Names(), None),
        (Names(), LABELS),
        (Names(target_transform=torch.tensor), None),
        (Names(target_transform=lambda label: torch.eye(3)[label]), LABELS),
        (Names(target_transform=str.upper), LABELS),
        (Subset(Names(), [0, 1, 2]), None),
        (other_length(dataset=Names(), indices=[0, 1, 2]), None),
        (other_length(dataset=Names()), LABELS),
    ],
)
def test_names_of_delivered_labels_are_kept(dataset, known):
    assert class_names_of(LABELS, dataset, known) == (Names.classes, None)
    assert class_names_of(None, dataset, None) == (Names.classes, None)


@pytest.mark.parametrize(
    ("dataset", "labels", "known", "why"),
    [
        (Names(), LABELS, 2 - LABELS, "its stored labels differ from those it delivers"),
        (Names(target_transform=lambda label: label % 2), LABELS % 2, None, "target_transform"),
        (Subset(Names(target_transform=lambda label: 2 - label), [1]), LABELS[1:2], LABELS[1:2], "target_transform"),
        (other_length(dataset=Names()), LABELS % 2, None, "Chosen omits or repeats items"),
        (Names(), torch.ones(3, 5, dtype=torch.bool), None, "there are 5 labels"),
    ],
)
def test_names_of_other_labels_are_dropped_with_a_word(dataset, labels, known, why):
    names, note = class_names_of(labels, dataset, known)
    assert names is None
    assert why in note
    assert "Appearance(class_names=" in note


def test_names_of_the_features_of_hugging_face_datasets():
    fine, coarse = (type("ClassLabel", (), {"names": names})() for names in (["a", "b"], ["u", "v"]))
    several = type("Sequence", (), {"feature": fine})()
    assert class_names(Data(features={"image": object(), "label": fine})) == ("a", "b")
    assert class_names(Data(features={"image": object(), "labels": several})) == ("a", "b")
    assert class_names(Subset(Data(features={"Label": fine}), [0])) == ("a", "b")
    both = Data(features={"fine_label": fine, "coarse_label": coarse})
    assert class_names(both) == ("a", "b")
    assert class_names(both, "coarse_label") == ("u", "v")
    assert class_names(Data(features={"label": object()})) is None
    assert class_names(Data(features=torch.rand(3))) is None
