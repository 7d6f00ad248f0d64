"""P rather than Q, against differences of gradients."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.errors import TargetError
from saliency_callbacks.probe import freeze
from saliency_callbacks.targets import ContrastTarget
from saliency_callbacks.targets.named import Samples
from saliency_callbacks.targets.resolution import class_target, resolve_target, samples_of, target_name


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 4)).double()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize("rows", [None, 2])
def test_its_gradient_is_the_difference_of_two(model: nn.Module, images: torch.Tensor, rows: int | None) -> None:
    classes = torch.tensor([0, 1, 2, 3, 0])
    target = ContrastTarget(classes, 1)
    found = explain(model, images, methods="gradient", target=target, internal_batch_size=rows)["gradient"]
    a, b = (explain(model, images, methods="gradient", target=one)["gradient"] for one in (classes, 1))
    torch.testing.assert_close(found.values, a.values - b.values)
    torch.testing.assert_close(found.score, a.score - b.score)
    assert not found.values[1].any(), "a class rather than itself"


def test_integrated_gradients_add_up_to_the_contrast(model: nn.Module, images: torch.Tensor) -> None:
    found = explain(model, images, methods="integrated_gradients", target=ContrastTarget(2, "second"))
    contrast = found["integrated_gradients"]
    logits, start = model(images), model(torch.zeros_like(images))
    others = logits.clone()
    others[:, 2] = -torch.inf
    second = others.argmax(dim=1)
    expected = (logits - start)[:, 2] - (logits - start).gather(1, second[:, None])[:, 0]
    torch.testing.assert_close(contrast.values.sum(dim=(1, 2, 3)), expected, rtol=1e-3, atol=1e-5)


def test_a_single_logit_is_two_classes(images: torch.Tensor) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 1)).double()
    found = explain(model, images, methods="gradient", target=ContrastTarget(1, 0))["gradient"]
    torch.testing.assert_close(found.score, 2 * model(images)[:, 0])


def test_what_is_predicted_stays_what_it_was_at_first() -> None:
    probe = freeze(torch.zeros(2, 1, 2, 2), labels=[0, 2], class_names=["cat", "dog", "owl"])
    first = resolve_target(ContrastTarget("predicted", "second"), probe, None)
    assert first.needs_pins
    start = torch.tensor([[3.0, 2.0, 1.0], [0.0, 1.0, 2.0]])
    pins = first.pins_of(start, torch.arange(2))
    assert {name: one.tolist() for name, one in pins.items()} == {"a": [0, 2], "b": [1, 1]}
    later = resolve_target(ContrastTarget("predicted", "second"), probe, None, pins=pins)
    assert not later.needs_pins
    assert later(-start, torch.tensor([1, 0])).tolist() == [1, 1]
    assert torch.equal(later.kept["a"], pins["a"])
    named = resolve_target(ContrastTarget("label", "dog"), probe, None)
    assert not named.kept, "the data tells it"
    assert named(start, torch.arange(2)).tolist() == [1, 1]
    with pytest.raises(TargetError, match="'bird' is no class"):
        ContrastTarget("bird", 0).of(samples_of(probe))


@pytest.mark.parametrize(
    ("a", "b", "match"),
    [
        (1, 1, "a and b are both 1"),
        (-1, 0, "a=-1; expected the index of a class"),
        (1.5, 0, "a=1.5"),
        (torch.tensor([0, -2]), 0, "a is Tensor"),
        (0, torch.tensor([0.5]), "b is Tensor"),
    ],
)
def test_sides_that_are_no_classes_are_refused(a: Any, b: Any, match: str) -> None:
    with pytest.raises(TargetError, match=match):
        ContrastTarget(a, b)


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (ContrastTarget("label", 0), "there are no labels"),
        (ContrastTarget("dog", 0), "the classes have no names here"),
        (ContrastTarget(torch.tensor([0, 1]), 2), "2 classes for 5 samples"),
        (ContrastTarget(9, 0), r"compares class \[9\], but the model has 4 classes"),
    ],
)
def test_sides_that_do_not_fit_are_refused(
    model: nn.Module, images: torch.Tensor, target: ContrastTarget, match: str
) -> None:
    with pytest.raises(TargetError, match=match):
        explain(model, images, methods="gradient", target=target)


def test_labels_of_samples_with_several_are_refused() -> None:
    probe = freeze(torch.zeros(2, 1, 2, 2), labels=torch.tensor([[1, 1, 0], [0, 1, 1]]))
    with pytest.raises(TargetError, match="a sample can have several labels"):
        ContrastTarget("label", 0).of(samples_of(probe))
    assert ContrastTarget(2, 0).of(samples_of(probe))(torch.eye(3)[:2], torch.arange(2)).tolist() == [-1, 0]


def test_it_is_a_value() -> None:
    target = ContrastTarget("dog", [1, 2])
    assert target == pickle.loads(pickle.dumps(target)) != ContrastTarget("dog", [1, 3])
    assert repr(ContrastTarget("dog", 1)) == "ContrastTarget(a='dog', b=1)"
    assert class_target(target) is not None
    assert target_name(ContrastTarget(0, 1), freeze(torch.zeros(1, 1, 2, 2))) == "ContrastTarget(a=0, b=1)"
    assert ContrastTarget(0, 1).of(Samples(3)) == ContrastTarget(0, 1).of(Samples(3))
