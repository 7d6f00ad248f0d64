"""A batch with another explained tensor, and rows of their own."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.capture.inputs import ModelInputs


@pytest.fixture
def images():
    return torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 2).clone()


def test_a_tensor_is_replaced(images):
    other = torch.rand(5, 1, 2, 2)
    assert ModelInputs.of(images).with_explained(other, torch.tensor([0, 0, 1, 2, 2])) is other


@pytest.mark.parametrize("attribute_to", [1, None])
def test_a_tuple_stays_a_tuple_in_its_order(images, attribute_to):
    ages, scale = torch.tensor([30, 40, 50]), torch.tensor(2.0)
    inputs = ModelInputs.of((ages, images, scale, "left"), attribute_to)
    other = torch.rand(4, 1, 2, 2)
    found = inputs.with_explained(other, torch.tensor([2, 2, 0, 1]))
    assert isinstance(found, tuple)
    assert found[0].tolist() == [50, 50, 30, 40]
    assert found[1] is other
    assert found[2] == scale
    assert found[3] == "left"


def test_a_dictionary_keeps_its_names(images):
    inputs = ModelInputs.of({"scan": images, "more": {"age": torch.tensor([30, 40, 50])}}, "scan")
    other = torch.rand(2, 1, 2, 2)
    found = inputs.with_explained(other, torch.tensor([1, 1]))
    assert list(found) == ["scan", "more"]
    assert found["scan"] is other
    assert found["more"]["age"].tolist() == [40, 40]


def test_the_batch_itself_is_left_alone(images):
    ages = torch.tensor([30, 40, 50])
    inputs = ModelInputs.of((images, ages), 0)
    found = inputs.with_explained(images + 1, torch.arange(3))
    found[1].zero_()
    assert ages.tolist() == [30, 40, 50]
    assert torch.equal(inputs.explained, images)


@pytest.mark.parametrize("form", [tuple, dict])
def test_it_is_what_a_call_would_feed(images, form):
    def model(scan, age):
        return scan.sum((1, 2, 3)) + age

    given = (images, torch.tensor([30, 40, 50])) if form is tuple else {"scan": images, "age": torch.tensor([3, 4, 5])}
    inputs = ModelInputs.of(given, 0 if form is tuple else "scan")
    other, rows = torch.rand(4, 1, 2, 2), torch.tensor([2, 0, 0, 1])
    made = ModelInputs.of(inputs.with_explained(other, rows), inputs.attribute_to)
    assert made.n_samples == 4
    assert torch.equal(made.call(model, made.explained, torch.arange(4)), inputs.call(model, other, rows))
