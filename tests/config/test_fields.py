"""What a batch holds by name, in whatever kind of object."""

from __future__ import annotations

import dataclasses
from collections import UserDict, namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from saliency_callbacks.config.fields import FieldDict, fields_of, with_fields
from saliency_callbacks.config.nested import describe

IMAGE, LABEL = torch.rand(2, 1, 4, 4), torch.tensor([0, 1])


@dataclasses.dataclass(frozen=True)
class Frozen:
    image: torch.Tensor
    label: torch.Tensor
    mask: Any = None


class Slotted:
    __slots__ = ("image", "label")

    def __init__(self, image: torch.Tensor, label: torch.Tensor) -> None:
        self.image, self.label = image, label


class Attrs:
    """As ``attrs`` makes them."""

    __attrs_attrs__ = (SimpleNamespace(name="image"), SimpleNamespace(name="label"))

    def __init__(self, image: torch.Tensor, label: torch.Tensor) -> None:
        self.image, self.label = image, label


class Keyed:
    """As a TensorDict: no mapping, but with keys and items."""

    def __init__(self, image: torch.Tensor, label: torch.Tensor) -> None:
        self._entries = {"image": image, "label": label}

    def keys(self):
        return self._entries.keys()

    def __getitem__(self, key: str) -> torch.Tensor:
        return self._entries[key]


Pair = namedtuple("Pair", "image label")


@pytest.mark.parametrize(
    "make",
    [
        dict,
        Frozen,
        Slotted,
        Attrs,
        Keyed,
        Pair,
        SimpleNamespace,
        FieldDict,
        lambda **fields: UserDict(fields),
    ],
)
def test_fields_are_found_and_described(make: Any) -> None:
    batch = make(image=IMAGE, label=LABEL)
    fields = fields_of(batch)
    assert fields is not None
    assert list(fields) == ["image", "label"]
    assert fields["image"] is IMAGE
    assert "image" in describe(batch)
    assert "[2, 1, 4, 4]" in describe(batch)


@pytest.mark.parametrize(
    "value",
    [None, 3, "text", IMAGE, [IMAGE], (IMAGE, LABEL), torch.nn.Linear(2, 2), Frozen, SimpleNamespace(a=1), print],
)
def test_what_has_no_tensors_by_name_has_no_fields(value: Any) -> None:
    assert fields_of(value) is None


class Broken:
    def keys(self):
        raise RuntimeError("closed")

    def __getitem__(self, key: str) -> None: ...


def test_a_property_that_raises_is_no_reason_to_fail() -> None:
    assert fields_of(Broken()) is None


@pytest.mark.parametrize("make", [dict, Frozen, Slotted, Pair, SimpleNamespace])
def test_other_fields_in_the_same_kind_of_object(make: Any) -> None:
    batch = make(image=IMAGE, label=LABEL)
    changed = with_fields(batch, {"image": IMAGE[:1], "label": LABEL[:1]})
    assert type(changed) is type(batch)
    assert fields_of(changed)["image"].shape[0] == 1
    assert fields_of(batch)["image"] is IMAGE


def test_an_object_that_takes_no_attributes_becomes_a_dictionary_with_attributes() -> None:
    changed = with_fields(Keyed(IMAGE, LABEL), {"image": IMAGE[:1]})
    assert changed.image.shape[0] == 1


def test_a_missing_attribute_says_what_there_is() -> None:
    batch = FieldDict(image=1)
    with pytest.raises(AttributeError, match="no 'scan'; it has 'image'"):
        batch.scan  # noqa: B018
